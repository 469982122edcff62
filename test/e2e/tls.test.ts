/** Listeners with TLS and on sockets in the file system, met by Debian's mosquitto clients, MQTT.js and plain sockets. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect as connectPlain, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { connectAsync, type MqttClient } from 'mqtt'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { TestAuthority } from '../listeners/openssl.ts'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { startGateway } from './gateway.ts'
import { run } from './program.ts'

describePeer('TLS', ['openssl', 'mosquitto_pub'], ({ openssl, mosquitto_pub }) => {
  const authority = openssl === undefined ? undefined! : new TestAuthority(openssl)
  afterAll(() => authority[Symbol.dispose]())
  const clients: MqttClient[] = []
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.endAsync(true)
  })
  const server = authority?.issue({ commonName: 'localhost', names: ['DNS:localhost', 'IP:127.0.0.1'] }, 'server')
  const renewed = authority?.issue({ commonName: 'localhost', names: ['DNS:localhost', 'IP:127.0.0.1'] }, 'renewed')
  const pump = authority?.issue({ commonName: 'pump-7' }, 'pump')
  const expired = authority?.issue({ commonName: 'old', days: -1 }, 'old')
  const revoked = authority?.issue({ commonName: 'stolen' }, 'stolen')
  const ca = authority?.ca
  const crl = authority?.revoke(revoked.cert)

  async function serve(listener: object, options: GatewayOptions = {}): Promise<{ gateway: Gateway; port: number }> {
    const listeners = [{ kind: 'tls', port: 0, ...server, ...listener }] as NonNullable<GatewayOptions['listeners']>
    const gateway = await startGateway({ mqttPort: undefined, httpPort: undefined, listeners, ...options })
    return { gateway, port: gateway.listeners[0]!.port }
  }

  const publish = (port: number, ...more: string[]) =>
    run(
      mosquitto_pub,
      ['-h', 'localhost', '-p', String(port), '--cafile', ca, '-t', 'a', '-m', 'b', '-q', '1', ...more],
      '',
    )

  async function connect(url: string, options: object = {}): Promise<MqttClient> {
    const client = await connectAsync(url, { ca: readFileSync(ca), reconnectPeriod: 0, ...options })
    clients.push(client)
    return client
  }

  test.each(['tlsv1.2', 'tlsv1.3'])('mosquitto_pub comes in with %s', async (version) => {
    const { gateway, port } = await serve({})
    const messages = gateway.subscribe('#')
    expect(await publish(port, '--tls-version', version)).toMatchObject({ exitCode: 0, stderr: '' })
    const { value } = await messages.next()
    expect(value.topic).toBe('a')
  })

  test('MQTT.js comes in by mqtts and wss, and the page by https', async () => {
    const { gateway } = await serve(
      {},
      {
        listeners: [
          { kind: 'tls', port: 0, ...server },
          { kind: 'wss', port: 0, ...server },
          { kind: 'https', port: 0, ...server },
        ],
      },
    )
    const [tls, wss, https] = gateway.listeners.map(({ port }) => port)
    const subscriber = await connect(`wss://localhost:${wss}/mqtt`)
    const texts: string[] = []
    subscriber.on('message', (_topic, payload) => texts.push(payload.toString()))
    await subscriber.subscribeAsync('x', { qos: 1 })
    for (const url of [`mqtts://localhost:${tls}`, `wss://localhost:${https}`]) {
      const client = await connect(url)
      await client.publishAsync('x', url.slice(0, 5), { qos: 1 })
    }
    await eventually(() => texts).toEqual(['mqtts', 'wss:/'])
    const socket = connectTls({ port: https!, host: 'localhost', ca: [readFileSync(ca)] })
    socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    let answer = ''
    for await (const chunk of socket) answer += chunk
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
  })

  describe('client certificates', () => {
    const own = ({ cert, key }: { cert: string; key: string }) => ['--cert', cert, '--key', key]

    test('are told to the authenticator, once they are verified', async () => {
      const seen: unknown[] = []
      const authenticator = {
        authenticate: ({ listener, certificate }: { listener: string; certificate?: object }) => {
          seen.push([listener, certificate])
          return { reasonCode: 0 }
        },
      }
      const { port } = await serve({ name: 'field', ca, clientCertificate: 'require' }, { authenticator })
      expect(await publish(port, ...own(pump))).toMatchObject({ exitCode: 0 })
      const fingerprint = expect.stringMatching(/^[0-9a-f]{64}$/)
      expect(seen).toEqual([['field', { cn: 'pump-7', fingerprint }]])
    })

    test.each([
      ['none', () => []],
      ['an expired one', () => own(expired)],
      ['a revoked one', () => own(revoked)],
      ['one of another authority', () => own(new TestAuthority(openssl).issue({ commonName: 'pump-7' }))],
    ])('%s is refused where one is required, and counted', async (_name, certificate) => {
      const { gateway, port } = await serve({ ca, crl, clientCertificate: 'require' })
      const { exitCode } = await publish(port, ...certificate())
      expect(exitCode).not.toBe(0)
      await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
      expect(gateway.metrics()['mqtt_connects_total{result="success"}'] ?? 0).toBe(0)
      expect(gateway.metrics()['mqtt_connections_refused_total']).toBeGreaterThan(0)
    })

    test('that are only asked for may be absent, but not bad', async () => {
      const { port } = await serve({ ca, clientCertificate: 'request' })
      expect(await publish(port)).toMatchObject({ exitCode: 0 })
      expect(await publish(port, ...own(pump))).toMatchObject({ exitCode: 0 })
      expect((await publish(port, ...own(expired))).exitCode).not.toBe(0)
    })
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a client certificate that is revoked while the gateway runs does not come in again, nor by the session of an earlier %s connection',
    async (version) => {
      const lost = authority.issue({ commonName: 'lost' }, `lost-${version}`)
      const list = join(authority.folder, `live-${version}.crl`)
      copyFileSync(crl, list)
      const { gateway, port } = await serve({ ca, crl: list, clientCertificate: 'require' })
      const bring = { cert: readFileSync(lost.cert), key: readFileSync(lost.key), ca: readFileSync(ca) }
      const versions = { minVersion: version, maxVersion: version }
      const dial = (session?: Buffer) =>
        new Promise<{ connack: Buffer; session: Buffer | undefined; resumed: boolean }>((resolve, reject) => {
          const socket = connectTls({ port, host: 'localhost', ...bring, ...versions, ...(session && { session }) })
          let last: Buffer | undefined
          socket.on('session', (given) => (last = given))
          socket.on('error', reject)
          socket.on('close', () => reject(new Error('closed')))
          socket.write(Buffer.from('100c00044d5154540402003c0000', 'hex'))
          socket.once('data', (connack) => {
            resolve({ connack, session: last, resumed: socket.isSessionReused() })
            socket.destroy()
          })
        })
      const { session } = await dial()
      expect(session).toBeDefined()
      // As long as nothing has changed it is what saves the handshake.
      expect(await dial(session)).toMatchObject({ resumed: true })
      const steady = await connect(`mqtts://localhost:${port}`, {
        cert: readFileSync(pump.cert),
        key: readFileSync(pump.key),
      })
      copyFileSync(authority.revoke(lost.cert), list)
      gateway.reloadCertificates()
      await expect(dial()).rejects.toThrow()
      await expect(dial(session)).rejects.toThrow()
      await steady.publishAsync('still', 'here', { qos: 1 })
    },
  )

  test('a certificate is exchanged under a connected client, and new ones get the new one', async () => {
    const [cert, key] = [join(authority.folder, 'live.crt'), join(authority.folder, 'live.key')]
    copyFileSync(server.cert, cert)
    copyFileSync(server.key, key)
    const { gateway, port } = await serve({ cert, key })
    const serial = async () => {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
      await new Promise((resolve) => socket.once('secureConnect', resolve))
      const { serialNumber } = socket.getPeerCertificate()
      socket.destroy()
      return serialNumber
    }
    const client = await connect(`mqtts://localhost:${port}`)
    const before = await serial()
    copyFileSync(renewed.cert, cert)
    copyFileSync(renewed.key, key)
    gateway.reloadCertificates()
    expect(await serial()).not.toBe(before)
    await client.publishAsync('still', 'here', { qos: 1 })
    expect(client.connected).toBe(true)
  })

  test('TLS on a plain port ends, is counted, and hinders nobody', async () => {
    const gateway = await startGateway()
    const { port } = gateway.addresses.mqtt!
    const refused = await new Promise<Error>((resolve) => {
      connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }).on('error', resolve)
    })
    expect(refused).toBeInstanceOf(Error)
    await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
    const faults = Object.entries(gateway.metrics()).filter(([name]) => name.startsWith('mqtt_protocol_errors_total'))
    expect(faults.reduce((sum, [, count]) => sum + count, 0)).toBe(1)
    await (await connect(`mqtt://127.0.0.1:${port}`)).publishAsync('a', 'b', { qos: 1 })
  })

  test('plain bytes on the port, another protocol by ALPN and a handshake that stalls end by themselves', async () => {
    const { gateway, port } = await serve({ limits: { handshakeTimeoutMs: 300 } })
    const ended = (bytes: Buffer | undefined) =>
      new Promise<void>((resolve) => {
        const socket = connectPlain({ port, host: '127.0.0.1' })
        socket.on('error', () => {})
        socket.on('close', () => resolve())
        socket.resume()
        if (bytes !== undefined) socket.write(bytes)
      })
    await ended(Buffer.from('100c00044d5154540402003c0000', 'hex'))
    await ended(undefined)
    const refused = await new Promise<Error>((resolve) => {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] })
      socket.on('error', resolve)
    })
    expect(refused.message).toMatch(/no application protocol/)
    await eventually(() => gateway.metrics()['mqtt_connections_refused_total']).toBe(3)
    expect(gateway.metrics()).toMatchObject({
      'mqtt_protocol_errors_total{reason="tls_not_tls"}': 1,
      'mqtt_protocol_errors_total{reason="tls_timeout"}': 1,
    })
    expect(await publish(port)).toMatchObject({ exitCode: 0 })
  })

  test.each(['tls', 'https'] as const)(
    'handshakes of kind %s that are not finished, or broken off at once, stay within their limit and hinder nobody',
    async (kind) => {
      const { port } = await serve({ kind, limits: { handshakesMax: 20 } }, { limits: { httpSocketsMax: 20 } })
      const open = new Set<Socket>()
      const begin = () => {
        const socket = connectPlain({ port, host: '127.0.0.1' })
        open.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => open.delete(socket))
        return socket
      }
      // Reset before the gateway has accepted them: they have no address any more.
      for (let i = 0; i < 50; i++)
        begin().on('connect', function (this: Socket) {
          this.resetAndDestroy()
        })
      await eventually(() => open.size).toBe(0)
      for (let i = 0; i < 50; i++) begin()
      await eventually(() => open.size).toBe(20)
      for (const socket of open) socket.destroy()
      const client = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
      await once(client, 'secureConnect')
      client.destroy()
    },
  )

  test('when its certificates expire is a metric of each listener', async () => {
    const named = authority.issue({ commonName: 'named one', days: 1 })
    const https = { kind: 'https', port: 0, ...server, name: 'web', certificates: [named] }
    const { gateway } = await serve({}, { listeners: [https] as NonNullable<GatewayOptions['listeners']> })
    const { port } = gateway.listeners[0]!
    const scrape = async () => {
      const socket = connectTls({ port, host: 'localhost', ca: [readFileSync(ca)] })
      socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
      let answer = ''
      for await (const chunk of socket) answer += chunk
      return answer
    }
    const expiry = (file: string) => Math.floor(new X509Certificate(readFileSync(file)).validToDate.getTime() / 1000)
    const text = await scrape()
    const series = 'mqtide_certificate_expires_at_seconds{listener="web"'
    expect(text).toContain(`${series},subject="CN=localhost"} ${expiry(server.cert)}\n`)
    expect(text).toContain(`${series},subject="CN=named one"} ${expiry(named.cert)}\n`)
  })

  test('files that can not be used are named at the start', async () => {
    await expect(serve({ key: renewed.key })).rejects.toThrow(
      /listeners\.0: .*renewed\.key: the key does not belong to/,
    )
  })
})

describe('a socket in the file system', () => {
  test('takes clients, and what a dead process left there is taken over', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mqtide-unix-'))
    const path = join(folder, 'mqtt.sock')
    const listeners = [{ kind: 'unix' as const, path }]
    const options = { mqttPort: undefined, httpPort: undefined, listeners }
    const gateway = await startGateway(options)
    const client = connectPlain({ path })
    client.write(Buffer.from('100c00044d5154540402003c0000', 'hex'))
    const connack = await new Promise<Buffer>((resolve) => client.once('data', resolve))
    expect(connack.toString('hex')).toBe('20020000')
    client.destroy()
    await expect(startGateway(options)).rejects.toThrow(/is another process's socket/)
    await gateway.close()
    rmSync(folder, { recursive: true })
  })
})
