/** `mqtide pub` and `mqtide sub`, as processes, against Mosquitto: so they're measured by a peer and not by ourselves. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { freePort, type Mosquitto, startMosquitto } from './mosquitto.ts'
import { run, runCommand, runProgram, startProgram } from './program.ts'

describePeer('pub and sub', ['mosquitto', 'mosquitto_sub'], ({ mosquitto, mosquitto_sub }) => {
  let folder: string
  let broker: Mosquitto
  let target: string[]
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mqtide-pub-'))
    broker = await startMosquitto(mosquitto)
    target = ['-p', String(broker.port)]
  })
  afterAll(async () => {
    await broker.stop()
    await rm(folder, { recursive: true })
  })

  describe('pub', () => {
    let observer: MqttClient
    let received: IPublishPacket[]
    beforeEach(async () => {
      received = []
      observer = await connectAsync({ host: '127.0.0.1', port: broker.port, protocolVersion: 5 })
      observer.on('message', (_topic, _payload, packet) => received.push(packet))
      await observer.subscribeAsync('pub/#', { qos: 2, rap: true })
    })
    afterEach(() => observer.endAsync())

    /** Runs pub, then waits until the observer has everything that was sent before a mark of its own. */
    async function pub(words: string[], input: string | Uint8Array = '') {
      const ended = await runCommand(['pub', ...target, ...words], input)
      const marked = new Promise<void>((resolve) => {
        const look = (topic: string) => {
          if (topic !== 'pub/mark') return
          observer.off('message', look)
          resolve()
        }
        observer.on('message', look)
      })
      await observer.publishAsync('pub/mark', '', { qos: 2 })
      await marked
      expect(ended.stderr).toBe('')
      expect(ended.exitCode).toBe(0)
      return received.filter((packet) => packet.topic !== 'pub/mark')
    }
    const texts = (packets: IPublishPacket[]) => packets.map((packet) => packet.payload.toString())

    test.each(['mqttv31', '311', 'mqttv5'])('-m publishes in %s at every QoS, retained with -r', async (version) => {
      for (const qos of ['0', '1', '2']) {
        const packets = await pub(['-V', version, '-t', 'pub/m', '-m', `v${version}`, '-q', qos, '-r'])
        expect(packets.at(-1)).toMatchObject({ topic: 'pub/m', qos: Number(qos), retain: true })
        expect(texts(packets).at(-1)).toBe(`v${version}`)
      }
      await pub(['-t', 'pub/m', '-n', '-r'])
    })

    test('-l publishes each line, the last one also without its end, and keeps other bytes', async () => {
      const input = Buffer.concat([Buffer.from('one\n\ntwo\r\n'), Buffer.from([0xff, 0x00]), Buffer.from('\nlast')])
      const packets = await pub(['-t', 'pub/l', '-l', '-q', '1'], input)
      expect(packets.map((packet) => Buffer.from(packet.payload).toString('latin1'))).toEqual([
        'one',
        '',
        'two\r',
        '\xff\0',
        'last',
      ])
    })

    test('-l keeps the order of 2,000 lines at QoS 1 and 2', async () => {
      const lines = Array.from({ length: 2000 }, (_, index) => String(index))
      for (const qos of ['1', '2']) {
        received = []
        expect(texts(await pub(['-t', 'pub/l', '-l', '-q', qos], lines.join('\n')))).toEqual(lines)
      }
    })

    test('-s publishes all of standard input, -f a file, -n nothing, --repeat repeats', async () => {
      const bytes = randomBytes(200_000)
      writeFileSync(join(folder, 'payload'), bytes)
      expect((await pub(['-t', 'pub/s', '-s'], bytes)).at(-1)?.payload).toEqual(bytes)
      expect((await pub(['-t', 'pub/f', '-f', join(folder, 'payload')])).at(-1)?.payload).toEqual(bytes)
      expect((await pub(['-t', 'pub/n', '-n'])).at(-1)?.payload.length).toBe(0)
      received = []
      expect(texts(await pub(['-t', 'pub/r', '-m', 'x', '--repeat', '3', '-q', '1']))).toEqual(['x', 'x', 'x'])
    })

    test('-D gives the message its properties, in 5.0 without asking for it', async () => {
      const words = ['-D', 'publish', 'user-property', 'name', 'value', '-D', 'publish', 'content-type', 'text/plain']
      const more = [
        '-D',
        'publish',
        'response-topic',
        're',
        '-D',
        'publish',
        'correlation-data',
        'id',
        '-D',
        'publish',
        'message-expiry-interval',
        '60',
        '-D',
        'publish',
        'payload-format-indicator',
        '1',
      ]
      const [packet] = await pub(['-t', 'pub/d', '-m', 'x', ...words, ...more])
      expect(packet?.properties).toMatchObject({
        contentType: 'text/plain',
        responseTopic: 're',
        correlationData: Buffer.from('id'),
        messageExpiryInterval: 60,
        payloadFormatIndicator: true,
      })
      expect({ ...packet?.properties?.userProperties }).toEqual({ name: 'value' })
    })

    test('-L takes host, port and topic from a URL', async () => {
      const ended = await runProgram(['pub', '-L', `mqtt://127.0.0.1:${broker.port}/pub/url`, '-m', 'x', '-q', '1'])
      expect(ended).toMatchObject({ exitCode: 0, stderr: '' })
      await eventually(() => received.map((packet) => packet.topic)).toContain('pub/url')
    })
  })

  describe('sub', () => {
    /** Publishes marks, which the test's filter matches, until one is printed. */
    async function untilReceiving(running: ReturnType<typeof startProgram>, publisher: MqttClient): Promise<void> {
      let seen = false
      const shown = running.untilStdout('mark').then(() => (seen = true))
      while (!seen) {
        await publisher.publishAsync('sub/mark', 'mark')
        await Promise.race([shown, new Promise((resolve) => setTimeout(resolve, 20))])
      }
    }

    test('prints payloads line by line, with -v after the topic, and SIGTERM ends it with 0', async () => {
      for (const [words, expected] of [
        [[], 'one\ntwo\n\nend\n'],
        [['-v'], 'sub/a one\nsub/b two\nsub/c (null)\nsub/z end\n'],
      ] as const) {
        const running = startProgram(['sub', ...target, '-t', 'sub/#', '-q', '1', ...words])
        const publisher = await connectAsync({ host: '127.0.0.1', port: broker.port })
        await untilReceiving(running, publisher)
        await publisher.publishAsync('sub/a', 'one', { qos: 1 })
        await publisher.publishAsync('sub/b', 'two', { qos: 1 })
        await publisher.publishAsync('sub/c', '', { qos: 1 })
        await publisher.publishAsync('sub/z', 'end', { qos: 1 })
        await running.untilStdout('end')
        running.process.kill('SIGTERM')
        const ended = await running.ended
        await publisher.endAsync()
        expect(ended).toMatchObject({ exitCode: 0, stderr: '' })
        expect(ended.stdout.toString().replace(/(sub\/mark )?mark\n/g, '')).toBe(expected)
      }
    })

    test('-C ends it after so many messages, with those and no more printed', async () => {
      const running = startProgram(['sub', ...target, '-t', 'count', '-C', '3', '-q', '1'])
      const publisher = await connectAsync({ host: '127.0.0.1', port: broker.port })
      let over = false
      running.ended.then(() => (over = true))
      for (let number = 0; !over; number++) await publisher.publishAsync('count', String(number), { qos: 1 })
      const ended = await running.ended
      await publisher.endAsync()
      expect(ended.exitCode).toBe(0)
      const numbers = ended.stdout.toString().trim().split('\n').map(Number)
      expect(numbers).toEqual([numbers[0], numbers[0]! + 1, numbers[0]! + 2])
    })

    test('-W ends it with 27 as mosquitto_sub does', async () => {
      const ours = await runProgram(['sub', ...target, '-t', 'silent', '-W', '1'])
      const theirs = await run(mosquitto_sub, [...target, '-t', 'silent', '-W', '1'])
      expect(ours.exitCode).toBe(27)
      expect(theirs.exitCode).toBe(ours.exitCode)
    })

    test('-N prints payloads without an end of line, byte by byte as they came', async () => {
      const bytes = randomBytes(5000)
      const { client, stop } = await retained('bytes', bytes)
      const ended = await runProgram(['sub', ...target, '-t', 'bytes', '-C', '1', '-N'])
      expect(ended.stdout.equals(bytes)).toBe(true)
      await stop(client)
    })

    test('-T leaves topics out, -R what was retained, --retained-only all else', async () => {
      const { client, stop } = await retained('sub/kept', 'old')
      const fresh = startProgram(['sub', ...target, '-t', 'sub/#', '-v', '-T', 'sub/no/+', '-R'])
      await untilReceiving(fresh, client)
      await client.publishAsync('sub/no/a', 'left out', { qos: 1 })
      await client.publishAsync('sub/yes', 'new', { qos: 1 })
      await fresh.untilStdout('new')
      fresh.process.kill('SIGINT')
      const { stdout, exitCode } = await fresh.ended
      expect(exitCode).toBe(0)
      expect(stdout.toString().replace(/sub\/mark mark\n/g, '')).toBe('sub/yes new\n')
      const running = startProgram(['sub', ...target, '-t', 'sub/#', '--retained-only'])
      await running.untilStdout('old')
      await client.publishAsync('sub/live', 'new', { qos: 1 })
      expect((await running.ended).stdout.toString()).toBe('old\n')
      await stop(client)
    })

    test('messages of a kept session come at once on return, none lost', async () => {
      const session = ['-t', 'kept', '-q', '1', '-c', '-i', 'kept-session']
      expect((await runProgram(['sub', ...target, ...session, '-E'])).exitCode).toBe(0)
      const numbers = Array.from({ length: 50 }, (_, index) => String(index))
      await runProgram(['pub', ...target, '-t', 'kept', '-l', '-q', '1'], numbers.join('\n'))
      const ended = await runProgram(['sub', ...target, ...session, '-C', '50'])
      expect(ended.stdout.toString().trim().split('\n')).toEqual(numbers)
    })

    const formats = [
      '%t|%q|%r|%l|%p|%%|%x|%X',
      '%-12t|%12t|%08l|%-8l|',
      '%C|%D|%E|%F|%P|%R|%A|%S',
      '\\t%p\\\\\\n@@',
      '%j',
      '%J',
    ]
    test.each(formats)('-F %s prints what mosquitto_sub prints', async (format) => {
      const client = await connectAsync({ host: '127.0.0.1', port: broker.port, protocolVersion: 5 })
      const properties = {
        contentType: 'a/b',
        correlationData: Buffer.from('id'),
        payloadFormatIndicator: true,
        responseTopic: 're',
        userProperties: { k: 'v' },
      }
      await client.publishAsync('format/a', '{"ä":[1,2]}', { qos: 1, retain: true, properties })
      await client.endAsync()
      const words = [...target, '-V', 'mqttv5', '-t', 'format/#', '-q', '1', '-C', '1', '-F', format]
      const ours = await runCommand(['sub', ...words])
      const theirs = await run(mosquitto_sub, words)
      const comparable = (text: Buffer) => text.toString().replace(/"tst":"[^"]*"/, '"tst":""')
      expect(ours.stderr).toBe('')
      expect(fields(comparable(ours.stdout))).toEqual(fields(comparable(theirs.stdout)))
    })

    async function retained(topic: string, payload: string | Buffer) {
      const client = await connectAsync({ host: '127.0.0.1', port: broker.port })
      await client.publishAsync(topic, payload, { qos: 1, retain: true })
      const stop = async (publisher: MqttClient) => {
        await publisher.publishAsync(topic, '', { qos: 1, retain: true })
        await publisher.endAsync()
      }
      return { client, stop }
    }
  })

  describe('errors', () => {
    test('a server that refuses, one that is not there and a host without a name give 1 and say so', async () => {
      const denying = await startMosquitto(mosquitto, ['allow_anonymous false'])
      const nobody = await freePort()
      const refused = await runProgram(['pub', '-p', String(denying.port), '-t', 'a', '-m', 'b'])
      const refused5 = await runProgram(['pub', '-V', '5', '-p', String(denying.port), '-t', 'a', '-m', 'b'])
      await denying.stop()
      expect(refused).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('connection refused: not authorized (0x05)'),
      })
      expect(refused5).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('connection refused: not authorized (0x87)'),
      })
      const absent = await runProgram(['sub', '-p', String(nobody), '-t', 'a'])
      expect(absent).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('nothing listens there') })
      const nameless = await runProgram(['sub', '-h', 'nobody.invalid', '-t', 'a'])
      expect(nameless).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('no such host') })
    })

    test('a password in the URL is not printed', async () => {
      const nobody = await freePort()
      const { stderr } = await runProgram(['pub', '-L', `mqtt://me:secret@127.0.0.1:${nobody}/t`, '-m', 'x'])
      expect(stderr).toContain('mqtt://me:***@')
      expect(stderr).not.toContain('secret')
    })

    test.each([
      [['pub', '-m', 'x'], 'pub needs a topic: -t'],
      [['pub', '-t', 'a'], 'pub needs something to publish'],
      [['pub', '-t', 'a/#', '-m', 'x'], '"a/#" is no topic name'],
      [['pub', '-t', 'a', '-m', 'x', '-n'], 'cannot be used with'],
      [['pub', '-t', 'a', '-m', 'x', '-q', '3'], 'Expected 0, 1 or 2'],
      [['pub', '-t', 'a', '-f', '/nonexistent'], '-f: ENOENT'],
      [['pub', '-t', 'a', '-m', 'x', '-V', '4'], 'Expected mqttv5, mqttv311 or mqttv31'],
      [['pub', '-t', 'a', '-m', 'x', '-V', '311', '-D', 'publish', 'content-type', 'a'], '-D and -x need -V mqttv5'],
      [['pub', '-t', 'a', '-m', 'x', '-D', 'publish', 'nope', 'a'], 'there is no property "nope"'],
      [['pub', '-t', 'a', '-m', 'x', '-D', 'publish', 'user-property', 'a'], 'needs a name and a value'],
      [['pub', '-L', 'http://127.0.0.1/x', '-m', 'x'], 'is no URL of the form'],
      [['pub', '-L', 'mqtt://127.0.0.1/x', '-p', '1', '-m', 'x'], 'leave out -h and -p'],
      [['sub'], 'sub needs a topic filter: -t'],
      [['sub', '-t', 'a/#/b'], '"a/#/b" is no topic filter'],
      [['sub', '-t', 'a', '-c'], '-c needs -i'],
      [['sub', '-t', 'a', '-F', '%Q'], 'there is no %Q'],
      [['sub', '-t', 'a', '--will-retain'], 'a will needs --will-topic'],
    ])('%j is bad usage: 2, and the message says why', async (words, message) => {
      const ended = await runCommand(words)
      expect(ended.stderr).toContain(message)
      expect(ended.exitCode).toBe(2)
    })
  })
})

/** JSON as its value, everything else as it is: the order of keys is nobody's promise. */
function fields(text: string): unknown {
  return text.startsWith('{') ? JSON.parse(text) : text
}
