/**
 * `mqtide sub`: prints messages as they arrive. Options as mosquitto_sub has them.
 *
 * A message is acknowledged when standard output has taken it, so a slow reader slows the gateway's deliveries to this
 * client instead of filling memory. After a lost connection it connects and subscribes again.
 */
import type { Writable } from 'node:stream'
import type { Command } from 'commander'
import type { IClientSubscribeOptions, IPublishPacket, MqttClient } from 'mqtt'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { parseTopicFilter, topicMatchesFilter } from '../mqtt/topic.ts'
import { connected, disconnectReason } from './client-connection.ts'
import {
  addClientOptions,
  type ClientFlags,
  type ClientTarget,
  clientTarget,
  numberFrom,
  qosNumber,
} from './client-options.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'
import {
  type MessageFormat,
  type MessageProperties,
  parseFormat,
  plainFormat,
  type ReceivedMessage,
} from './message-format.ts'

interface Flags extends ClientFlags {
  topic?: string[]
  filterOut?: string[]
  unsubscribe?: string[]
  qos: 0 | 1 | 2
  count?: number
  wait?: number
  verbose?: boolean
  eol: boolean
  format?: string
  exitAfterSub?: boolean
  /** `-R` is spelt as a negation. */
  stale: boolean
  retainedOnly?: boolean
}

const reconnectPeriodMs = 1000

export function registerSub(program: Command, context: CliContext): void {
  addClientOptions(
    program.command('sub').description('print messages as they arrive, with the options of mosquitto_sub'),
  )
    .option('-t, --topic <filter>', 'topic filter to subscribe to; may be repeated', collected)
    .option('-T, --filter-out <filter>', "don't print messages on topics that match; may be repeated", collected)
    .option('-U, --unsubscribe <filter>', 'unsubscribe from a filter of a kept session; may be repeated', collected)
    .option('-q, --qos <qos>', 'highest QoS to receive with', qosNumber, 0)
    .option('-C, --count <count>', 'end after so many messages', numberFrom(1, 1_000_000_000))
    .option(
      '-W, --wait <seconds>',
      `end after so many seconds, with exit code ${ExitCode.timeout}`,
      numberFrom(1, 2_000_000),
    )
    .option('-v, --verbose', 'print the topic before the payload')
    .option('-N, --no-eol', 'print no end of line after a payload')
    .option('-F, --format <format>', 'print each message as the format says, e.g. "%t %q %r %l %p" or "%j"')
    .option('-E, --exit-after-sub', 'end when the subscriptions are acknowledged')
    .option('-R, --no-stale', "don't print messages that were retained before")
    .option('--retained-only', 'print retained messages and end at the first other one')
    .action((flags: Flags) => subscribe(flags, context))
}

function collected(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

async function subscribe(flags: Flags, context: CliContext): Promise<void> {
  const target = clientTarget(flags, context)
  const filters = [...(flags.topic ?? []), ...(target.topic === undefined ? [] : [target.topic])]
  if (filters.length === 0 && !flags.unsubscribe) throw new CliError('sub needs a topic filter: -t', ExitCode.usage)
  for (const filter of filters) {
    if (!parseTopicFilter(filter)) throw new CliError(`"${filter}" is no topic filter`, ExitCode.usage)
  }
  const format =
    flags.format === undefined ? plainFormat(flags.verbose ?? false, flags.eol) : lineFormat(flags.format, flags.eol)
  const ended = Promise.withResolvers<void>()
  const releases = [context.onSignal('SIGINT', ended.resolve), context.onSignal('SIGTERM', ended.resolve)]
  const timer = flags.wait === undefined ? undefined : setTimeout(() => ended.reject(timedOut()), flags.wait * 1000)
  // Nobody may await it yet when the time is over.
  ended.promise.catch(() => {})
  let client: MqttClient | undefined
  try {
    const connecting = connected(target, (made) => receive(made, format, { flags, context, ended }))
    // The time may be over, or the user gone, before there is a connection.
    client = await Promise.race([connecting, ended.promise.then(() => undefined)])
    if (!client) return
    reconnectWhenLost(client, context, ended)
    await subscribeAll(client, filters, flags, target)
    if (!flags.exitAfterSub) await ended.promise
  } finally {
    clearTimeout(timer)
    for (const release of releases) release()
    await client?.endAsync().catch(() => {})
  }
}

function timedOut(): CliError {
  return new CliError('', ExitCode.timeout)
}

function lineFormat(format: string, endOfLine: boolean): MessageFormat {
  return parseFormat(endOfLine ? `${format}\\n` : format)
}

interface Receiving {
  flags: Flags
  context: CliContext
  ended: PromiseWithResolvers<void>
}

function receive(client: MqttClient, format: MessageFormat, { flags, context, ended }: Receiving): void {
  context.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read the output has seen enough.
    if (error.code === 'EPIPE') ended.resolve()
    else ended.reject(error)
  })
  const write = writer(context.stdout)
  let printed = 0
  // MQTT.js acknowledges when this calls back, and handles the next packet only then.
  client.handleMessage = (packet, done) => {
    const message = received(packet)
    if (flags.retainedOnly && !message.retain) ended.resolve()
    if (!isPrinted(message, flags) || printed === flags.count) return done()
    try {
      write(format(message), done)
    } catch (error) {
      ended.reject(error)
      return
    }
    if (++printed === flags.count) ended.resolve()
  }
}

function reconnectWhenLost(client: MqttClient, { stderr }: CliContext, ended: PromiseWithResolvers<void>): void {
  client.options.reconnectPeriod = reconnectPeriodMs
  client.on('disconnect', (packet) => {
    // Coming back would only take the session from whoever took it.
    if (packet.reasonCode === ReasonCode.sessionTakenOver) ended.reject(new CliError(disconnectReason(packet)))
  })
  client.on('error', (error) => {
    // A number is the reason code of a refused CONNECT; anything else is the network, which may come back.
    if (typeof (error as { code?: unknown }).code === 'number') ended.reject(new CliError(error.message))
  })
  client.on('offline', () => stderr.write('mqtide: the connection is lost, trying again\n'))
}

function isPrinted({ topic, retain }: ReceivedMessage, flags: Flags): boolean {
  if (flags.retainedOnly && !retain) return false
  if (retain && !flags.stale) return false
  return !(flags.filterOut ?? []).some((filter) => topicMatchesFilter(filter, topic))
}

async function subscribeAll(
  client: MqttClient,
  filters: readonly string[],
  flags: Flags,
  target: ClientTarget,
): Promise<void> {
  for (const filter of flags.unsubscribe ?? []) {
    await client
      .unsubscribeAsync(filter, { properties: target.properties.unsubscribe })
      .catch(failed(`unsubscribe ${filter}`))
  }
  const options: IClientSubscribeOptions = { qos: flags.qos }
  if (Object.keys(target.properties.subscribe).length > 0) options.properties = target.properties.subscribe
  if (filters.length > 0)
    await client.subscribeAsync([...filters], options).catch(failed(`subscribe to ${filters.join(', ')}`))
}

function failed(what: string): (error: Error) => never {
  return (error) => {
    throw new CliError(`can't ${what}: ${error.message.replace(/^Subscribe error: /, '')}`)
  }
}

/** Writes and calls back when the stream can take more. */
function writer(output: Writable): (bytes: Uint8Array, done: () => void) => void {
  return (bytes, done) => {
    if (output.write(bytes)) done()
    else output.once('drain', done)
  }
}

function received(packet: IPublishPacket): ReceivedMessage {
  return {
    topic: packet.topic,
    payload: typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload,
    qos: packet.qos,
    retain: packet.retain,
    messageId: packet.messageId ?? 0,
    properties: (packet.properties ?? {}) as MessageProperties,
    at: new Date(),
  }
}
