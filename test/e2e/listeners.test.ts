/** Listeners as a list: each kind is served at its own address, and mistakes at binding name the one at fault. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { describe, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../src/engine/clock.ts'
import { createGateway, ListenError } from '../../src/gateway.ts'
import { startGateway } from './gateway.ts'
import { runProgram, startProgram } from './program.ts'

const named = { mqttPort: undefined, httpPort: undefined }

describe('a list of listeners', () => {
  test('is bound as it stands, and a message passes from each kind to each', async () => {
    const gateway = await startGateway({
      ...named,
      listeners: [
        { kind: 'tcp', port: 0 },
        { name: 'second', kind: 'tcp', port: 0 },
        { kind: 'ws', port: 0 },
        { kind: 'http', port: 0 },
      ],
    })
    expect(gateway.listeners.map(({ name, kind }) => [name, kind])).toEqual([
      ['tcp-0', 'tcp'],
      ['second', 'tcp'],
      ['ws-0', 'ws'],
      ['http-0', 'http'],
    ])
    expect(new Set(gateway.listeners.map(({ port }) => port)).size).toBe(4)
    expect(gateway.addresses.mqtt?.port).toBe(gateway.listeners[0]!.port)
    expect(gateway.addresses.http?.port).toBe(gateway.listeners[2]!.port)
    const clients = await Promise.all(
      gateway.listeners.map(({ kind, port }) => connectAsync(`${kind === 'tcp' ? 'mqtt' : 'ws'}://127.0.0.1:${port}`)),
    )
    let received = 0
    const all = new Promise<void>((resolve) => {
      for (const client of clients) {
        client.on('message', () => {
          if (++received === clients.length ** 2) resolve()
        })
      }
    })
    for (const client of clients) await client.subscribeAsync('a')
    for (const client of clients) await client.publishAsync('a', 'x')
    await all
    const http = gateway.listeners[3]!.port
    const lines = (await (await fetch(`http://127.0.0.1:${http}/metrics`)).text()).split('\n')
    for (const { name, kind } of gateway.listeners) {
      expect(lines).toContain(`mqtt_listener_clients{listener="${name}",protocol="${kind}"} 1`)
      expect(lines).toContain(`mqtt_listener_handshakes{listener="${name}",protocol="${kind}"} 0`)
    }
    for (const client of clients) await client.endAsync()
  })

  test('a listener of kind ws has neither page nor health nor metrics', async () => {
    const gateway = await startGateway({ ...named, listeners: [{ kind: 'ws', port: 0 }] })
    for (const path of ['/', '/metrics', '/livez']) {
      const response = await fetch(`http://127.0.0.1:${gateway.addresses.http!.port}${path}`)
      expect(response.status).toBe(426)
      expect(await response.text()).toBe('Only MQTT over WebSocket is served here.\n')
    }
  })

  test('an address that is taken is refused with the name of its listener', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as { port: number }
    const starting = startGateway({ ...named, listeners: [{ name: 'lab', kind: 'tcp', port }] })
    await expect(starting).rejects.toBeInstanceOf(ListenError)
    await expect(starting).rejects.toMatchObject({ listener: 'lab', code: 'EADDRINUSE' })
    taken.close()
  })
})

describe('a stop', () => {
  test('leaves everything served for drainMs while /readyz says 503, and then closes', async () => {
    const drainMs = 60_000
    let endDrain = (): void => {}
    const clock: Clock = {
      ...systemClock,
      after(delayMs, callback) {
        if (delayMs !== drainMs) return systemClock.after(delayMs, callback)
        endDrain = callback
        return () => {}
      },
    }
    const gateway = await createGateway(
      { mqttPort: 0, httpPort: 0, inMemory: true, logLevel: 'silent', drainMs },
      { clock },
    )
    await gateway.listen()
    const { http, mqtt } = gateway.addresses
    const ready = () => fetch(`http://127.0.0.1:${http!.port}/readyz`)
    expect((await ready()).status).toBe(200)
    const closing = gateway.close()
    const draining = await ready()
    expect(draining.status).toBe(503)
    expect(await draining.json()).toMatchObject({ status: 'not ready', checks: { listeners: 'draining' } })
    const late = await connectAsync(`mqtt://127.0.0.1:${mqtt!.port}`, { protocolVersion: 5, reconnectPeriod: 0 })
    const farewell = new Promise((resolve) => late.once('disconnect', ({ reasonCode }) => resolve(reasonCode)))
    endDrain()
    expect(await farewell).toBe(0x8b)
    await closing
    await late.endAsync(true)
    await expect(ready()).rejects.toThrow()
  })
})

describe('the program', () => {
  test('prints every address, and names the option of one that is taken', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mqtide-listeners-'))
    const file = join(folder, 'gateway.yaml')
    const list = (...kinds: string[]) =>
      writeFileSync(file, `inMemory: true\nlisteners:\n${kinds.map((one) => `  - ${one}\n`).join('')}`)
    list('{ kind: tcp, port: 0 }', '{ kind: ws, port: 0 }', '{ kind: http, port: 0, host: "::1" }')
    const running = startProgram(['start', '--config', file])
    await running.untilStdout('\n')
    running.process.kill('SIGTERM')
    const { stdout, exitCode } = await running.ended
    expect(exitCode).toBe(0)
    expect(stdout.toString()).toMatch(
      /^mqtide \S+ ready: MQTT mqtt:\/\/127\.0\.0\.1:\d+, WebSocket ws:\/\/127\.0\.0\.1:\d+, HTTP http:\/\/\[::1\]:\d+, pid \d+\n$/,
    )
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as { port: number }
    list('{ kind: tcp, port: 0 }', `{ kind: tcp, port: ${port} }`)
    const refused = await runProgram(['start', '--config', file])
    taken.close()
    rmSync(folder, { recursive: true })
    expect(refused.stderr).toBe(
      `mqtide: port ${port} on 127.0.0.1 is in use; choose another one with listeners.1.port (0 takes a free one)\n`,
    )
    expect(refused.exitCode).toBe(1)
  })
})
