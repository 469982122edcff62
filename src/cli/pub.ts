/**
 * `mqtide pub`: publishes what it's given, waits until all of it is acknowledged, and ends. Options as mosquitto_pub has
 * them.
 */
import { type Command, Option } from 'commander'
import type { IClientPublishOptions, IDisconnectPacket, MqttClient } from 'mqtt'
import { isValidTopicName } from '../mqtt/topic.ts'
import { connected, disconnectReason } from './client-connection.ts'
import { addClientOptions, type ClientFlags, clientTarget, fileOf, numberFrom, qosNumber } from './client-options.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'

interface Flags extends ClientFlags {
  topic?: string
  message?: string
  file?: string
  stdinLine?: boolean
  stdinFile?: boolean
  nullMessage?: boolean
  qos: 0 | 1 | 2
  retain?: boolean
  repeat: number
  repeatDelay: number
  maxInflight: number
}

/** The largest payload that a packet can hold is a little below. */
const payloadBytesMax = 268_435_455

export function registerPub(program: Command, context: CliContext): void {
  const ways = ['message', 'file', 'stdinLine', 'stdinFile', 'nullMessage']
  const way = (flags: string, description: string, name: string) =>
    new Option(flags, description).conflicts(ways.filter((other) => other !== name))
  addClientOptions(program.command('pub').description('publish messages, with the options of mosquitto_pub'))
    .option('-t, --topic <topic>', 'topic to publish to')
    .addOption(way('-m, --message <payload>', 'the payload', 'message'))
    .addOption(way('-f, --file <file>', "a file's content as the payload", 'file'))
    .addOption(way('-l, --stdin-line', 'each line of standard input as one message', 'stdinLine'))
    .addOption(way('-s, --stdin-file', 'all of standard input as one message', 'stdinFile'))
    .addOption(way('-n, --null-message', 'an empty payload; with -r it removes the retained message', 'nullMessage'))
    .option('-q, --qos <qos>', 'QoS', qosNumber, 0)
    .option('-r, --retain', 'retain the message')
    .option('--repeat <count>', 'publish it so many times (-m, -f, -s, -n)', numberFrom(1, 1_000_000_000), 1)
    .option('--repeat-delay <seconds>', 'pause between repetitions', seconds, 0)
    .option('-M, --max-inflight <count>', 'messages under way at the same time', numberFrom(1, 65_535), 20)
    .action((flags: Flags) => publish(flags, context))
}

function seconds(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0 && value <= 86_400))
    throw new CliError(`${text} is no number of seconds`, ExitCode.usage)
  return value
}

async function publish(flags: Flags, context: CliContext): Promise<void> {
  const target = clientTarget(flags, context)
  const topic = flags.topic ?? target.topic
  if (topic === undefined) throw new CliError('pub needs a topic: -t', ExitCode.usage)
  if (!isValidTopicName(topic)) throw new CliError(`"${topic}" is no topic name to publish to`, ExitCode.usage)
  const payloads = payloadsOf(flags, context)
  const client = await connected(target)
  const options: IClientPublishOptions = { qos: flags.qos, retain: flags.retain ?? false }
  if (Object.keys(target.properties.publish).length > 0) options.properties = target.properties.publish
  try {
    await Promise.race([lostConnection(client), publishAll(client, topic, payloads, options, flags)])
  } finally {
    await client.endAsync().catch(() => {})
  }
}

async function publishAll(
  client: MqttClient,
  topic: string,
  payloads: AsyncIterable<Buffer>,
  options: IClientPublishOptions,
  { maxInflight, repeatDelay }: Flags,
): Promise<void> {
  const underWay = new Set<Promise<unknown>>()
  let isFirst = true
  for await (const payload of payloads) {
    if (!isFirst && repeatDelay > 0) await new Promise((resolve) => setTimeout(resolve, repeatDelay * 1000))
    isFirst = false
    if (underWay.size >= maxInflight) await Promise.race(underWay)
    const sent = client.publishAsync(topic, payload, options)
    const settled = sent.finally(() => underWay.delete(settled))
    underWay.add(settled)
  }
  await Promise.all(underWay)
}

/** Rejects when the connection ends before the client itself ended it. */
function lostConnection(client: MqttClient): Promise<never> {
  return new Promise((_, reject) => {
    let farewell: IDisconnectPacket | undefined
    client.on('disconnect', (packet) => (farewell = packet))
    client.on('error', (error) => reject(new CliError(error.message)))
    client.on('close', () => reject(new CliError(disconnectReason(farewell))))
  })
}

/** What `-m`, `-f`, `-l`, `-s` or `-n` say to publish; files are read before connecting. */
function payloadsOf(flags: Flags, { stdin }: CliContext): AsyncIterable<Buffer> {
  if (flags.stdinLine) return linesOf(stdin)
  if (flags.stdinFile) return repeated(wholeOf(stdin), flags.repeat)
  if (flags.file !== undefined) return repeated(fileOf('-f', flags.file), flags.repeat)
  if (flags.message !== undefined) return repeated(Buffer.from(flags.message), flags.repeat)
  if (flags.nullMessage) return repeated(Buffer.alloc(0), flags.repeat)
  throw new CliError('pub needs something to publish: -m, -f, -l, -s or -n', ExitCode.usage)
}

async function* repeated(payload: Buffer | Promise<Buffer>, count: number): AsyncGenerator<Buffer> {
  const bytes = await payload
  for (let done = 0; done < count; done++) yield bytes
}

async function wholeOf(input: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of input) {
    size += chunk.length
    if (size > payloadBytesMax) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Lines without their `\n`, as bytes; what stands after the last `\n` is a line if it isn't empty. */
export async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = []
  let size = 0
  for await (const chunk of input) {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...parts, chunk.subarray(start, end)])
      parts = []
      size = 0
      start = end + 1
    }
    size += chunk.length - start
    if (size > payloadBytesMax) throw tooLarge()
    if (start < chunk.length) parts.push(chunk.subarray(start))
  }
  if (parts.length > 0) yield Buffer.concat(parts)
}

function tooLarge(): CliError {
  return new CliError(`a payload can't be larger than ${payloadBytesMax} bytes`)
}
