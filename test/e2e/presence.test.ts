/** Presence with real connections: who left how, and that kill -9 leaves nobody online. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync, type MqttClient } from 'mqtt'
import { afterEach, expect, it } from 'vitest'
import { eventually } from './eventually.ts'
import { connectClient, cut, startGateway } from './gateway.ts'
import { type KilledGateway, startToBeKilled } from './killed-gateway.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

it('tells who comes, who leaves and how, and refuses to be told', async () => {
  const gateway = await startGateway({ presence: { prefix: 'presence/' } })
  const watcher = await connectClient(gateway, { clientId: 'watcher', protocolVersion: 5 })
  await watcher.mqtt.subscribeAsync('presence/+', { qos: 1 })
  const states = (clientId: string) =>
    watcher.received
      .filter(({ topic }) => topic === `presence/${clientId}`)
      .map(({ payload }) => (payload.length === 0 ? 'gone' : JSON.parse(payload.toString())))
  const polite = await connectClient(gateway, { clientId: 'polite' })
  const lost = await connectClient(gateway, { clientId: 'lost', clean: false })
  await eventually(() => [states('polite').length, states('lost').length]).toEqual([1, 1])
  await polite.mqtt.endAsync()
  await cut(lost)
  await eventually(() => [states('polite').length, states('lost').length]).toEqual([3, 2])
  expect(states('polite')).toMatchObject([{ state: 'online' }, { state: 'offline', reason: 'client' }, 'gone'])
  const [came, left] = states('lost')
  expect(left).toMatchObject({ state: 'offline', reason: 'closed_by_peer' })
  expect(left.since).toBeGreaterThanOrEqual(left.lastSeen)
  expect(Math.abs(came.since - Date.now())).toBeLessThan(600_000)
  const refused = watcher.mqtt.publishAsync('presence/lost', '{}', { qos: 1, retain: true })
  await expect(refused).rejects.toThrow('Not authorized')
  await expect(gateway.publish({ topic: 'presence/lost', payload: '{}' })).rejects.toThrow('read only')
})

async function statesAt(
  killed: KilledGateway,
): Promise<{ client: MqttClient; states: Map<string, { state: string; reason?: string }> }> {
  const client = await connectAsync(killed.mqtt, { clientId: 'watcher', reconnectPeriod: 0 })
  ends.push(() => client.endAsync(true))
  const states = new Map()
  client.on('message', (topic, payload) => states.set(topic, JSON.parse(payload.toString())))
  await client.subscribeAsync('presence/#', { qos: 1 })
  return { client, states }
}

it('has nobody online after kill -9 who is not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-presence-'))
  ends.push(() => rmSync(folder, { recursive: true, force: true }))
  const config = join(folder, 'mqtide.yaml')
  writeFileSync(config, "presence: { prefix: 'presence/' }\n")
  const killed = await startToBeKilled('--config', config)
  ends.push(() => killed.remove())
  for (const [clientId, clean] of [
    ['kept', false],
    ['visitor', true],
  ] as const) {
    const client = await connectAsync(killed.mqtt, { clientId, clean, reconnectPeriod: 0 })
    ends.push(() => client.endAsync(true))
    client.on('error', () => {})
  }
  const before = await statesAt(killed)
  before.client.on('error', () => {})
  await eventually(() => [...before.states.keys()].sort()).toEqual([
    'presence/kept',
    'presence/visitor',
    'presence/watcher',
  ])
  await killed.kill()
  await killed.start()
  const { states } = await statesAt(killed)
  await eventually(() => [...states].sort()).toMatchObject([
    ['presence/kept', { state: 'offline', reason: 'gateway_restarted' }],
    ['presence/watcher', { state: 'online' }],
  ])
})
