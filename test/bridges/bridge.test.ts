import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { Bridge, type BridgeWorld } from '../../src/bridges/bridge.ts'
import type { Outbox } from '../../src/bridges/outbox.ts'
import { bridgeSettings, parseBridge } from '../../src/config/bridges.ts'
import { encodeConnack } from '../../src/mqtt/encoder.ts'

/** One that has nothing to send. */
const outbox = {
  declare: () => ({ made: false, retainedDue: [] }),
  state: () => ({ waiting: 0, waitingBytes: 0, inflight: 0, dropped: 0 }),
} as unknown as Outbox

/** A bridge to a broker that refuses it with Use another server; `meet` is called before the refusal. */
async function refusedBridge(meet: (bridge: Bridge) => void) {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      meet(bridge)
      socket.end(encodeConnack(5, { sessionPresent: false, reasonCode: 0x9c, properties: {} }))
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const lines: string[] = []
  const log = (fields: object, text: string): void => void lines.push(`${JSON.stringify(fields)} ${text}`)
  const ended = Promise.withResolvers<void>()
  const world: BridgeWorld = {
    ...{ gatewayId: '0123456789ab', topicLevelsMax: 10, now: () => performance.now(), random: () => 0 },
    after: () => () => {},
    later: queueMicrotask,
    log: {
      info: log,
      warn: (fields, text) => ended.resolve(log(fields, text)),
      error: (fields, text) => ended.resolve(log(fields, text)),
    },
    onConnected: () => {},
  }
  const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}?key=hunter2`
  const parsed = parseBridge({ url, topics: [{ filter: 'a', direction: 'out' }] })
  const bridge = new Bridge(bridgeSettings('default', 'cloud', parsed.bridge!), outbox, world)
  bridge.start()
  await ended.promise
  server.close()
  return { bridge, lines }
}

test('a bridge that comes to its own gateway, and is refused as that, is given up, and no key of its address is logged', async () => {
  const { bridge, lines } = await refusedBridge((own) => own.cameHere())
  expect(bridge).toMatchObject({ state: 'refused', lastFailure: { reason: 'itself' } })
  expect(lines.join()).not.toContain('hunter2')
})

test('a bridge that is refused elsewhere tries again', async () => {
  const { bridge } = await refusedBridge(() => {})
  expect(bridge).toMatchObject({ state: 'waiting', lastFailure: { reason: 'use_another_server' } })
})
