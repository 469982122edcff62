/** Who takes part in a life, in which world, and what happens how often. */
import type { QueueFullPolicy } from '../../src/core/options.ts'
import { Client } from './client.ts'
import type { ProcessOptions } from './process.ts'
import type { PublishOptions } from './publishing.ts'
import type { Random } from './random.ts'
import type { Surroundings, Wish } from './surroundings.ts'

export const restartWillGraceMs = 20_000
const strategies = ['round-robin', 'random', 'sticky', 'least-inflight', 'hash-publisher', 'hash-topic'] as const

export interface World {
  process: ProcessOptions
  /** Queues may be full. */
  limited: boolean
  /** Then messages are refused. */
  refuses: boolean
  /** Some messages expire. */
  expires: boolean
  /** How often a crash is one with a flipped bit. */
  flips: number
  /** The disk is full now and then. */
  fills: boolean
  /** Somebody sets the clock. */
  jumps: boolean
}

export function worldOf(random: Random, onFiles: boolean): World {
  const limited = random.chance(0.3)
  const sessionQueueFull: QueueFullPolicy = random.pick(['drop-oldest', 'drop-newest', 'reject'])
  const refuses = limited && sessionQueueFull === 'reject'
  const gateway = {
    // A store is given; nothing else is to be kept in a folder.
    inMemory: true,
    mqttPort: false,
    httpPort: false,
    logLevel: process.env['MQTIDE_TORTURE_LOG'] === undefined ? 'silent' : 'error',
    sessionQueueFull,
    sharedSubscriptions: { strategy: random.pick(strategies) },
    limits: {
      inflightMessagesMax: random.pick([3, 10, 40]),
      outputBufferBytesMax: random.pick([500, 1_000_000]),
      restartWillGraceMs,
      ...(limited && { sessionQueueMessagesMax: refuses ? 30 : random.pick([5, 25]) }),
    },
  } as const
  return {
    process: { gateway, residentMessagesMax: random.pick([2, 5, 20]), streams: [] },
    limited,
    refuses,
    expires: random.chance(0.5),
    flips: onFiles && random.chance(0.2) ? 0.2 : 0,
    fills: random.chance(0.2),
    jumps: random.chance(0.3),
  }
}

export type Step =
  | 'publish'
  | 'turn'
  | 'serve'
  | 'read'
  | 'hurry'
  | 'connect'
  | 'drop'
  | 'disconnect'
  | 'wipe'
  | 'takeOver'
  | 'subscribe'
  | 'unsubscribe'
  | 'wait'
  | 'crash'
  | 'settle'
  | 'block'
  | 'setClock'
  | 'hostile'
  | 'inside'
  | 'fill'

/** How often each happens. */
export const stepWeights: Record<Step, number> = {
  publish: 350,
  turn: 150,
  serve: 120,
  read: 160,
  hurry: 30,
  connect: 60,
  drop: 10,
  disconnect: 6,
  wipe: 1,
  takeOver: 4,
  subscribe: 6,
  unsubscribe: 3,
  wait: 20,
  crash: 3,
  settle: 5,
  block: 4,
  setClock: 2,
  hostile: 5,
  inside: 4,
  fill: 5,
}

/** What a subscriber inside the process asks for. */
export const insideFilters = ['t/#', 't/1/#', 'r/#', '$share/g/s/#'] as const

export function wishes(random: Random): Wish[] {
  const plain = ['t/#', 't/+/0', 't/1/#', 't/0/0', 'r/#'].map((filter) => {
    return { filter, qos: random.pick([0, 1, 2, 2] as const), noLocal: random.chance(0.1) }
  })
  const shared = { filter: '$share/g/s/#', qos: random.pick([0, 1, 2, 2] as const), noLocal: false }
  return [...plain, shared]
}

/** Some that stay for ever, some whose sessions expire, and some that end with their connection. */
export function clientsOf(random: Random, life: Surroundings): Client[] {
  const sessions = [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 300, 30, 0]
  return sessions.map((sessionSeconds, i) => {
    const own: Wish[] =
      i < 3 ? [random.pick(wishes(random))] : [random.pick(wishes(random)), random.pick(wishes(random))]
    if (i === 3) own.push({ filter: '$share/g/s/#', qos: 2, noLocal: false })
    if (i === 4) own.push({ filter: 't/#', qos: 2, noLocal: false })
    const version = sessionSeconds === 0 || sessionSeconds === 0xffffffff ? random.pick([4, 5] as const) : 5
    const keepAliveSeconds = random.pick([0, 0, 60])
    const distinct = [...new Map(own.map((wish) => [wish.filter, wish])).values()]
    return new Client(
      { id: `c${i}`, version, sessionSeconds, keepAliveSeconds, wishes: distinct, hasWill: random.chance(0.6) },
      life,
    )
  })
}

/** Who reads every will, and what else it wishes for. */
export function watcherOf(wished: readonly Wish[], life: Surroundings): Client {
  const wishes = [{ filter: 'w/#', qos: 2, noLocal: false } as const, ...wished]
  return new Client(
    { id: 'watcher', wishes, version: 5, sessionSeconds: 0xffffffff, keepAliveSeconds: 0, hasWill: false },
    life,
  )
}

/** Something that a client may publish. */
export function messageOf(
  client: Client,
  random: Random,
  expires: boolean,
): { topic: string; options: PublishOptions } {
  const qos = random.pick([0, 1, 1, 2, 2] as const)
  const kind = random.weighted({ t: 6, s: 3, r: 1 })
  const retain = kind === 'r'
  const topic = { t: `t/${random.below(3)}/${random.below(2)}`, s: `s/${random.below(3)}`, r: `r/${client.id}` }[kind]
  const expiring = expires && client.options.version === 5 && random.chance(0.2)
  const expirySeconds = expiring ? random.pick([1, 10, 100]) : 0
  return {
    topic,
    options: { qos, retain, expirySeconds, bytes: random.below(60), empty: retain && random.chance(0.3) },
  }
}
