/** Mosquitto's own clients: mosquitto_pub, mosquitto_sub and mosquitto_rr, in every version and QoS. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { startGateway } from './gateway.ts'
import { run, runCommand } from './program.ts'

const versions = ['mqttv31', 'mqttv311', 'mqttv5']

describePeer("Mosquitto's clients", ['mosquitto_pub', 'mosquitto_sub', 'mosquitto_rr'], (programs) => {
  const started: ChildProcess[] = []
  afterEach(() => {
    for (const child of started.splice(0)) child.kill()
  })

  const portOf = (gateway: Gateway) => ['-p', String(gateway.addresses.mqtt!.port)]

  /** Starts a program and waits until the gateway holds so many subscriptions. */
  async function subscriber(gateway: Gateway, program: string, words: string[], subscriptions = 1) {
    const child = spawn(program, [...portOf(gateway), ...words])
    started.push(child)
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const ended = once(child, 'close').then(([exitCode]) => ({ exitCode: exitCode as number, output }))
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(subscriptions)
    return { child, ended, output: () => output }
  }

  const pub = (gateway: Gateway, words: string[], input = '') =>
    run(programs.mosquitto_pub, [...portOf(gateway), ...words], input)

  test.each(versions)('messages cross in %s with every QoS', async (version) => {
    const gateway = await startGateway()
    const words = ['-V', version, '-t', 'cross/#', '-q', '2', '-C', '3', '-F', '%t %q %r %p']
    const { ended } = await subscriber(gateway, programs.mosquitto_sub, words)
    for (const qos of ['0', '1', '2']) {
      const sent = await pub(gateway, ['-V', version, '-t', `cross/${qos}`, '-m', `with ${qos}`, '-q', qos])
      expect(sent).toMatchObject({ exitCode: 0, stderr: '' })
    }
    const expected = 'cross/0 0 0 with 0\ncross/1 1 0 with 1\ncross/2 2 0 with 2\n'
    expect(await ended).toEqual({ exitCode: 0, output: expected })
  })

  test.each(versions)('a subscriber of %s receives what every version publishes', async (version) => {
    const gateway = await startGateway()
    const { ended } = await subscriber(gateway, programs.mosquitto_sub, [
      '-V',
      version,
      '-t',
      'v/+',
      '-q',
      '2',
      '-C',
      '3',
    ])
    for (const from of versions) await pub(gateway, ['-V', from, '-t', 'v/x', '-m', from, '-q', '2'])
    expect(await ended).toEqual({ exitCode: 0, output: `${versions.join('\n')}\n` })
  })

  test.each(versions)('1,000 lines at QoS 1 and at QoS 2 arrive complete and in order in %s', async (version) => {
    const gateway = await startGateway()
    const lines = Array.from({ length: 1000 }, (_, index) => `line ${index}\n`).join('')
    for (const qos of ['1', '2']) {
      const { ended } = await subscriber(gateway, programs.mosquitto_sub, [
        '-V',
        version,
        '-t',
        'l',
        '-q',
        qos,
        '-C',
        '1000',
      ])
      expect((await pub(gateway, ['-V', version, '-t', 'l', '-l', '-q', qos], lines)).exitCode).toBe(0)
      expect((await ended).output).toBe(lines)
      await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(0)
    }
  })

  test.each(versions)('a retained message and its removal in %s', async (version) => {
    const gateway = await startGateway()
    const late = ['-V', version, '-t', 'kept', '-W', '1', '-F', '%r %p']
    await pub(gateway, ['-V', version, '-t', 'kept', '-m', 'on', '-r', '-q', '1'])
    const found = await run(programs.mosquitto_sub, [...portOf(gateway), ...late, '-C', '1'])
    expect(found.stdout.toString()).toBe('1 on\n')
    await pub(gateway, ['-V', version, '-t', 'kept', '-n', '-r', '-q', '1'])
    const nothing = await run(programs.mosquitto_sub, [...portOf(gateway), ...late])
    expect(nothing.stdout.toString()).toBe('')
  })

  test.each(versions)('a killed client leaves its will in %s', async (version) => {
    const gateway = await startGateway()
    const will = ['--will-topic', 'will/here', '--will-payload', 'gone', '--will-qos', '1']
    const dying = await subscriber(gateway, programs.mosquitto_sub, ['-V', version, '-t', 'x', ...will])
    const observer = await subscriber(
      gateway,
      programs.mosquitto_sub,
      ['-V', version, '-t', 'will/#', '-v', '-C', '1'],
      2,
    )
    dying.child.kill('SIGKILL')
    expect(await observer.ended).toEqual({ exitCode: 0, output: 'will/here gone\n' })
  })

  test.each(versions)('a kept session in %s gets what was published while it was away', async (version) => {
    const gateway = await startGateway()
    const session = ['-V', version, '-c', '-i', 'kept', '-t', 'queue', '-q', '1']
    expect((await run(programs.mosquitto_sub, [...portOf(gateway), ...session, '-E'])).exitCode).toBe(0)
    await pub(gateway, ['-V', version, '-t', 'queue', '-l', '-q', '1'], 'one\ntwo\nthree\n')
    const back = await run(programs.mosquitto_sub, [...portOf(gateway), ...session, '-C', '3'])
    expect(back.stdout.toString()).toBe('one\ntwo\nthree\n')
  })

  test('mosquitto_rr gets the answer to its request in 5.0', async () => {
    const gateway = await startGateway()
    const requests = gateway.subscribe('ask')
    const asking = run(programs.mosquitto_rr, [
      ...portOf(gateway),
      '-V',
      'mqttv5',
      '-t',
      'ask',
      '-e',
      'answers/1',
      '-m',
      'how much?',
      '-q',
      '1',
      '-W',
      '5',
    ])
    for await (const request of requests) {
      expect(Buffer.from(request.payload).toString()).toBe('how much?')
      await gateway.publish({ topic: 'answers/1', payload: '42', qos: 1 })
      break
    }
    expect((await asking).stdout.toString()).toBe('42\n')
  })

  test('-D properties pass from mosquitto_pub to mosquitto_sub', async () => {
    const gateway = await startGateway()
    const { ended } = await subscriber(gateway, programs.mosquitto_sub, [
      '-V',
      '5',
      '-t',
      'p',
      '-C',
      '1',
      '-F',
      '%C|%D|%R|%P|%F',
    ])
    const properties = [
      'content-type text/x',
      'correlation-data id',
      'response-topic re',
      'user-property k v',
      'payload-format-indicator 1',
    ]
    await pub(gateway, [
      '-V',
      '5',
      '-t',
      'p',
      '-m',
      'x',
      ...properties.flatMap((property) => ['-D', 'publish', ...property.split(' ')]),
    ])
    expect((await ended).output).toBe('text/x|id|re|k:v|1\n')
  })

  test('mosquitto_sub reads $SYS', async () => {
    const gateway = await startGateway()
    const words = ['-t', '$SYS/broker/version', '-t', '$SYS/broker/clients/connected', '-C', '2', '-W', '5']
    const { stdout } = await run(programs.mosquitto_sub, [...portOf(gateway), ...words])
    expect(stdout.toString()).toMatch(/^mqtide version \d+\.\d+\.\d+\n\d+\n$/)
  })

  describe('beside mqtide pub and sub', () => {
    test.each(['31', '311', '5'])('in version %s, over TCP and WebSocket, both ways', async (version) => {
      const gateway = await startGateway()
      const { host, port } = gateway.addresses.http!
      for (const target of [portOf(gateway), ['-L', `ws://${host}:${port}/mqtt`], ['-h', `ws://${host}:${port}`]]) {
        const theirs = await subscriber(gateway, programs.mosquitto_sub, ['-t', 'ours', '-C', '1', '-q', '2'])
        expect(await runCommand(['pub', ...target, '-V', version, '-t', 'ours', '-m', 'hi', '-q', '2'])).toMatchObject({
          exitCode: 0,
          stderr: '',
        })
        expect((await theirs.ended).output).toBe('hi\n')
        const ours = runCommand(['sub', ...target, '-V', version, '-t', 'theirs', '-C', '1', '-q', '2', '-v'])
        await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
        await pub(gateway, ['-t', 'theirs', '-m', 'ho', '-q', '2'])
        expect((await ours).stdout.toString()).toBe('theirs ho\n')
        await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
      }
    })
  })
})
