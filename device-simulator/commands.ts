/**
 * Commands both ways: devices that answer them, and callers that send them and wait.
 *
 * `request-response` is MQTT 5.0's: the request carries a response topic and correlation data. `tasmota` is the manner of
 * that firmware: `cmnd/NAME/POWER` is answered on `stat/NAME/RESULT`, and only the names tie the two together.
 */
import type { IncomingMessage, OutgoingMessage, SubscriptionRequest } from './client/client.ts'
import type { Context } from './context.ts'
import type { Device } from './device.ts'
import type { Random } from './random.ts'
import type { CommandSpec, RequestSpec } from './scenario/schema.ts'
import type { Entry } from './schedule.ts'
import { fillTemplate, type Variables } from './template.ts'
import { filterMatches } from './verdict/topic.ts'

type Publish = (message: OutgoingMessage, onAcknowledged: (code: number) => void) => void

interface Outstanding {
  intendedMs: number
  expiresMs: number
}

const ignoreAcknowledgement = (): void => {}

function plainRequest(filter: string, qos: 0 | 1 | 2): SubscriptionRequest {
  return { filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }
}

/** The devices that a caller may address are the target group's, in turn. */
class Caller implements Entry {
  dueMs = Number.POSITIVE_INFINITY
  readonly #context: Context
  readonly #spec: RequestSpec
  readonly #replyTopic: string
  readonly #random: Random
  readonly #publish: (message: OutgoingMessage) => boolean
  /** By correlation id, or for Tasmota by the topic on which the answer is expected. */
  readonly #outstanding = new Map<string, Outstanding>()
  #count = 0

  constructor(
    context: Context,
    spec: RequestSpec,
    replyTopic: string,
    random: Random,
    publish: (message: OutgoingMessage) => boolean,
  ) {
    this.#context = context
    this.#spec = spec
    this.#replyTopic = replyTopic
    this.#random = random
    this.#publish = publish
  }

  start(nowMs: number): void {
    this.dueMs = nowMs + (this.#random.next() * 1000) / this.#spec.rate
  }

  fire(): void {
    if (this.#context.rate === 0) {
      this.dueMs = Number.POSITIVE_INFINITY
      return
    }
    const intendedMs = this.dueMs
    this.dueMs += 1000 / (this.#spec.rate * this.#context.rate)
    const { layout, measures } = this.#context
    const group = layout.groups.find(({ name }) => name === this.#spec.to)!
    const variables = layout.variablesOf(group, this.#count % group.spec.count)
    const topic = fillTemplate(this.#spec.topic, variables)
    const isTasmota = this.#spec.style === 'tasmota'
    const key = isTasmota ? answerTopic(topic) : String(this.#count)
    this.#count += 1
    // Without a correlation there can be one question at a time for each device.
    if (this.#outstanding.has(key)) return
    const message: OutgoingMessage = {
      topic,
      payload: Buffer.from(fillTemplate(this.#spec.payload, variables)),
      qos: this.#spec.qos,
      retain: false,
    }
    if (!isTasmota) {
      message.responseTopic = this.#replyTopic
      message.correlationData = Buffer.from(key)
    }
    if (!this.#publish(message)) return
    measures.counters.commandsSent += 1
    this.#outstanding.set(key, { intendedMs, expiresMs: intendedMs + this.#spec.timeout })
  }

  onReply({ topic, correlationData }: IncomingMessage, nowMs: number): boolean {
    const key = this.#spec.style === 'tasmota' ? topic : Buffer.from(correlationData ?? '').toString()
    const outstanding = this.#outstanding.get(key)
    if (outstanding === undefined) return false
    this.#outstanding.delete(key)
    const { counters, latency } = this.#context.measures
    counters.commandsAnswered += 1
    latency.command.record((nowMs - outstanding.intendedMs) * 1000)
    return true
  }

  get outstanding(): number {
    return this.#outstanding.size
  }

  expire(nowMs: number): void {
    for (const [key, { expiresMs }] of this.#outstanding) {
      if (expiresMs > nowMs) continue
      this.#outstanding.delete(key)
      this.#context.measures.counters.unansweredCommands += 1
    }
  }
}

/** `cmnd/NAME/POWER` is answered on `stat/NAME/RESULT`. */
function answerTopic(commandTopic: string): string {
  return commandTopic.replace(/^cmnd\//, 'stat/').replace(/[^/]*$/, 'RESULT')
}

export class Commands {
  readonly requests: SubscriptionRequest[] = []
  readonly #context: Context
  readonly #device: Device
  readonly #random: Random
  readonly #publish: Publish
  readonly #answered: { spec: CommandSpec; filter: string }[]
  readonly #callers: { caller: Caller; replies: string }[] = []
  readonly #states = new Map<string, string>()

  constructor(context: Context, device: Device, random: Random, publish: Publish) {
    this.#context = context
    this.#device = device
    this.#random = random
    this.#publish = publish
    const { spec } = device.group
    const { variables } = device
    this.#answered = spec.commands.map((command) => ({
      spec: command,
      filter: fillTemplate(command.filter, variables),
    }))
    for (const { spec: command, filter } of this.#answered) this.requests.push(plainRequest(filter, command.qos))
    for (const [i, request] of spec.requests.entries()) this.#addCaller(request, i, variables)
    if (spec.sparkplug !== undefined) {
      const base = `spBv1.0/${fillTemplate(spec.sparkplug.group, variables)}/NCMD`
      this.requests.push(plainRequest(`${base}/${fillTemplate(spec.sparkplug.node, variables)}`, 1))
    }
  }

  start(nowMs: number): void {
    for (const { caller } of this.#callers) {
      if (caller.dueMs !== Number.POSITIVE_INFINITY || this.#context.rate === 0) continue
      caller.start(nowMs)
      this.#context.schedule.add(caller)
    }
  }

  /** Whether the message was a command or an answer. */
  onMessage(message: IncomingMessage, nowMs: number): boolean {
    for (const { caller, replies } of this.#callers) {
      if (filterMatches(replies, message.topic)) {
        caller.onReply(message, nowMs)
        return true
      }
    }
    const command = this.#answered.find(({ filter }) => filterMatches(filter, message.topic))
    if (command === undefined) return false
    this.#answer(command.spec, message)
    return true
  }

  /** Commands that have neither been answered nor given up. */
  get outstanding(): number {
    return this.#callers.reduce((sum, { caller }) => sum + caller.outstanding, 0)
  }

  tick(nowMs: number): void {
    for (const { caller } of this.#callers) caller.expire(nowMs)
  }

  #addCaller(request: RequestSpec, i: number, variables: Variables): void {
    const standard = request.style === 'tasmota' ? 'stat/+/RESULT' : `replies/${variables['clientId']}/${i}`
    const replies = fillTemplate(request.replies ?? standard, variables)
    const caller = new Caller(this.#context, request, replies, this.#random, (message) => {
      if (!this.#device.online) return false
      this.#publish(message, ignoreAcknowledgement)
      return true
    })
    this.#callers.push({ caller, replies })
    this.requests.push(plainRequest(replies, request.qos))
  }

  #answer(spec: CommandSpec, message: IncomingMessage): void {
    if (spec.fail > 0 && this.#random.next() < spec.fail) return
    const replies = spec.style === 'tasmota' ? this.#tasmotaReplies(spec, message) : this.#responseTo(spec, message)
    const send = (): void => {
      if (!this.#device.online) return
      for (const reply of replies) {
        this.#publish(reply, ignoreAcknowledgement)
        this.#context.measures.counters.repliesSent += 1
      }
      this.#device.flush()
    }
    if (spec.delay > 0) setTimeout(send, spec.delay)
    else send()
  }

  #responseTo(spec: CommandSpec, message: IncomingMessage): OutgoingMessage[] {
    const topic =
      message.responseTopic ?? (spec.reply === undefined ? undefined : fillTemplate(spec.reply, this.#device.variables))
    if (topic === undefined) return []
    const text = Buffer.from(message.payload).toString()
    const payload = Buffer.from(JSON.stringify({ device: this.#device.clientId, ok: true, request: text }))
    const reply: OutgoingMessage = { topic, payload, qos: spec.qos, retain: false }
    if (message.correlationData !== undefined) reply.correlationData = Uint8Array.from(message.correlationData)
    return [reply]
  }

  /** An empty payload asks, anything else sets; TOGGLE turns ON and OFF over. */
  #tasmotaReplies(spec: CommandSpec, { topic, payload }: IncomingMessage): OutgoingMessage[] {
    const name = topic.slice(topic.lastIndexOf('/') + 1).toUpperCase()
    const before = this.#states.get(name) ?? 'OFF'
    const asked = Buffer.from(payload).toString()
    const state = asked === '' ? before : asked.toUpperCase() === 'TOGGLE' ? (before === 'ON' ? 'OFF' : 'ON') : asked
    this.#states.set(name, state)
    const result = answerTopic(topic)
    const base = result.slice(0, result.lastIndexOf('/'))
    return [
      { topic: result, payload: Buffer.from(JSON.stringify({ [name]: state })), qos: spec.qos, retain: false },
      { topic: `${base}/${name}`, payload: Buffer.from(state), qos: spec.qos, retain: false },
    ]
  }
}
