/**
 * Queues: what the gateway keeps for consumers that share it, each message until one of them has settled it (`docs/queues.md`). `queues`
 * are those of the default namespace, `namespaces.NAME.queues` those of another.
 */
import { z } from 'zod'
import {
  defaultQueueDefinition as core,
  type DeclaredQueue,
  deadLetterNameOf,
  deadLetterSuffix,
  declaredQueuesMax,
  dedupeUntils,
  defaultDeadLetterDefinition,
  isKeySource,
  type QueueDefinition,
  type QueueDispatch,
  queueDispatches,
  queueNameCharactersMax,
  queueOverflows,
  queueSettlements,
} from '../core/logs/definition.ts'
import type { ConfigIssue } from './config-error.ts'
import {
  addressOf,
  changedFiltersIn,
  declarationIssues,
  filterIssues,
  nameOf,
  type OptionsWith,
  sectionsOf,
} from './declarations.ts'
import { flag, GiB, KiB, oneOf, text, wholeNumber } from './fields.ts'

const dayMs = 86_400_000
const yearMs = 365 * dayMs

function part(from: number, to: number) {
  const error = `expected a number from ${from} to ${to}`
  return z.number(error).min(from, error).max(to, error)
}

/** EMQX writes them with underscores. */
const emqxDispatches = ['round_robin', 'least_inflight'] as const

const keyWords = 'publisher, topic, topic-level:N or property:NAME'

function key(words: string, isOne: (text: string) => boolean) {
  const error = `expected ${words}`
  return z.string(error).refine(isOne, error)
}

export const retrySchema = z.strictObject(
  {
    firstMs: wholeNumber(1, dayMs)
      .default(core.retry.firstMs)
      .describe('How long a message waits that failed for the first time.'),
    factor: part(1, 100)
      .default(core.retry.factor)
      .describe('By this each further wait is longer than the one before.'),
    maxMs: wholeNumber(1, 30 * dayMs)
      .default(core.retry.maxMs)
      .describe('Longest wait.'),
    jitter: part(0, 1)
      .default(core.retry.jitter)
      .describe('Part of a wait that is left to chance, so that not all come back at once.'),
  },
  'expected firstMs, factor, maxMs and jitter',
)

export const dedupeSchema = z.strictObject(
  {
    windowMs: wholeNumber(0, 30 * dayMs)
      .default(core.dedupe.windowMs)
      .describe(
        'How long the user property message-id of a message is remembered: another one of it is not taken in. 0: not.',
      ),
    until: oneOf(...dedupeUntils)
      .default(core.dedupe.until)
      .describe('window: for that time; settled: for as long as the message is unsettled, in place of a time.'),
    sequence: flag()
      .default(core.dedupe.sequence)
      .describe(
        'Each publisher counts its messages up in the user property seq; what is not above its last one is not taken in.',
      ),
    idsMax: wholeNumber(1, 10_000_000)
      .default(core.dedupe.idsMax)
      .describe('Ids that are remembered; beyond it the oldest are forgotten.'),
    publishersMax: wholeNumber(1, 10_000_000)
      .default(core.dedupe.publishersMax)
      .describe('Publishers whose seq is remembered; beyond it who was silent for longest is forgotten.'),
  },
  'expected windowMs, until, sequence, idsMax and publishersMax',
)

export const queueSchema = z.strictObject(
  {
    filter: text(65_535)
      .optional()
      .describe(
        'Which messages it takes in, by a topic filter; fixed for its life. Unset, only those published to $queue/NAME.',
      ),
    dispatch: oneOf(...queueDispatches, ...emqxDispatches)
      .default(core.dispatch)
      .describe('Which consumer gets a message; hash-key: always the same one for a key, see keyBy.'),
    keyBy: key(keyWords, (one) => one !== 'none' && isKeySource(one))
      .default(core.keyBy)
      .describe('Key of dispatch: hash-key, in the words of orderBy.'),
    orderBy: key(`none, ${keyWords}`, isKeySource)
      .default(core.orderBy)
      .describe('One unsettled message for each key: none, publisher, topic, topic-level:N or property:NAME.'),
    prefetchMax: wholeNumber(1, 65_535)
      .default(core.prefetchMax)
      .describe(
        'Messages that a consumer has unsettled at most; its Receive Maximum and its user property prefetch may lower it.',
      ),
    settle: oneOf(...queueSettlements)
      .default(core.settle)
      .describe(
        'What settles a message: its PUBACK, or a verdict published to $queue/NAME/$ack and its like (explicit).',
      ),
    ackTimeoutMs: wholeNumber(0, 30 * dayMs)
      .default(core.ackTimeoutMs)
      .describe(
        'How long a consumer may take for its oldest unsettled message; then that counts as failed. 0: for ever, while it is connected.',
      ),
    reconnectGraceMs: wholeNumber(0, dayMs)
      .default(core.reconnectGraceMs)
      .describe('How long a lost connection may take to come back to its messages, of a session that outlives it.'),
    attemptsMax: wholeNumber(1, 1_000_000)
      .default(core.attemptsMax)
      .describe('Failures of a message after which it is a dead letter.'),
    retry: retrySchema.prefault({}),
    deadLetter: z
      .union([z.boolean(), nameOf('queue')], 'expected true for NAME.dead, the name of a queue, or false')
      .optional()
      .describe(
        'Where dead letters go: true, NAME.dead; the name of a queue; false: nowhere, they are dropped. Unset, true, but for queues of dead letters.',
      ),
    messageTtlMs: wholeNumber(0, 10 * yearMs)
      .optional()
      .describe(
        'How long a message waits at most, whatever its publisher says. 0: for ever. Unset, 0; 14 days for dead letters.',
      ),
    messagesMax: wholeNumber(1, 1_000_000_000)
      .default(core.messagesMax)
      .describe('Unsettled messages in it, those with consumers included.'),
    bytesMax: wholeNumber(KiB, 1024 * GiB)
      .default(core.bytesMax)
      .describe('Their bytes.'),
    overflow: oneOf(...queueOverflows)
      .optional()
      .describe(
        'What happens to a message when it is full; reject answers the publisher 0x97 (3.x: closed). Unset, reject; drop-oldest for dead letters.',
      ),
    dispatchPerSecondMax: wholeNumber(0, 1_000_000_000)
      .default(core.dispatchPerSecondMax)
      .describe('Messages handed out in a second, to all consumers together. 0: as fast as they take them.'),
    allowQos0: flag()
      .default(core.allowQos0)
      .describe('Let consumers subscribe at QoS 0: their messages are settled when they are sent.'),
    dedupe: dedupeSchema.prefault({}),
  },
  'expected what this queue is as names and values, or {} for the defaults',
)

export const queuesSchema = z.record(
  nameOf('queue'),
  queueSchema,
  'expected queues by their names, of letters, digits, -, . and _, with a letter or a digit first',
)

type QueueOptions = z.output<typeof queueSchema>
export type QueuesOptions = z.output<typeof queuesSchema>

/** The option of both. */
export function queuesOption(whose: string) {
  return queuesSchema.default({}).describe(`${whose}, by name; see queues.md.`)
}

type OptionsWithQueues = OptionsWith<'queues', QueueOptions>

/** Every queue that is declared, with its defaults; those of dead letters that nobody declares come by themselves. */
export function queuesOf(options: OptionsWithQueues): DeclaredQueue[] {
  return sectionsOf(options, 'queues').flatMap(({ namespace, named }) => {
    const targets = deadLetterTargets(named)
    return Object.entries(named).map(([name, given]) => ({
      namespace,
      name,
      definition: definitionOf(given, targets.has(name)),
    }))
  })
}

/** What it lets unsaid is otherwise where others' dead letters go to it. */
function definitionOf({ dispatch, ...given }: QueueOptions, isTarget: boolean): QueueDefinition {
  const base = isTarget ? defaultDeadLetterDefinition : core
  const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return { ...base, ...said, dispatch: dispatch.replace('_', '-') as QueueDispatch }
}

/** Where the dead letters of a section's queues go. Such a queue has dead letters of its own only where it says so. */
function deadLetterTargets(queues: QueuesOptions): ReadonlySet<string> {
  const targets = new Set<string>()
  const unsaid: string[] = []
  for (const [name, { deadLetter }] of Object.entries(queues)) {
    if (deadLetter === undefined) unsaid.push(name)
    else if (deadLetter !== false) targets.add(deadLetter === true ? name + deadLetterSuffix : deadLetter)
  }
  // `a` before `a.dead`, which then is a target.
  for (const name of unsaid.sort((one, other) => one.length - other.length)) {
    if (!targets.has(name)) targets.add(name + deadLetterSuffix)
  }
  return targets
}

/** Faults that no single value has. */
export function queueIssues(options: OptionsWithQueues): ConfigIssue[] {
  const byAddress = new Map(queuesOf(options).map((one) => [addressOf(one), one]))
  const bounds = { kind: 'queue', max: declaredQueuesMax } as const
  return declarationIssues(sectionsOf(options, 'queues'), bounds, (_given, at, name) => {
    const queue = byAddress.get(addressOf(name))!
    const { filter } = queue.definition
    return [
      ...filterIssues(filter, at),
      ...deadLetterIssues(queue, byAddress, at),
      ...retryIssues(queue, at),
      ...dedupeIssues(queue, at),
    ]
  })
}

/** Whatever goes round would never end. */
function deadLetterIssues(
  queue: DeclaredQueue,
  byAddress: ReadonlyMap<string, DeclaredQueue>,
  at: readonly PropertyKey[],
): ConfigIssue[] {
  const { namespace, name, definition } = queue
  const target = deadLetterNameOf(name, definition)
  if (target === null) {
    if (definition.overflow !== 'dead-letter-oldest') return []
    return [
      {
        path: [...at, 'overflow'],
        message: 'dead-letter-oldest needs a queue for dead letters, and deadLetter is false',
      },
    ]
  }
  const path = [...at, 'deadLetter']
  if (target.length > queueNameCharactersMax) {
    return [
      { path, message: `${target.slice(0, 60)}… has more than ${queueNameCharactersMax} characters; name a queue` },
    ]
  }
  const passed = new Set([name])
  for (let next: string | null = target; next !== null; ) {
    if (passed.has(next)) {
      const message =
        next === target
          ? 'a queue can not take its own dead letters'
          : `dead letters would go round: ${[...passed].join(', ')}, ${next}`
      return [{ path, message }]
    }
    passed.add(next)
    const found = byAddress.get(addressOf({ namespace, name: next }))
    next = found === undefined ? null : deadLetterNameOf(next, found.definition)
  }
  return []
}

function dedupeIssues({ definition: { dedupe } }: DeclaredQueue, at: readonly PropertyKey[]): ConfigIssue[] {
  if (dedupe.until !== 'settled' || dedupe.windowMs === 0) return []
  const message = 'an id is remembered for a time or until its message is settled: leave one out'
  return [{ path: [...at, 'dedupe', 'windowMs'], message }]
}

function retryIssues({ definition: { retry } }: DeclaredQueue, at: readonly PropertyKey[]): ConfigIssue[] {
  if (retry.maxMs >= retry.firstMs) return []
  return [
    { path: [...at, 'retry', 'maxMs'], message: `expected at least firstMs (${retry.firstMs}), got ${retry.maxMs}` },
  ]
}

/** Where a queue that is in both has another filter. */
export function changedFilters(before: OptionsWithQueues, after: OptionsWithQueues): string[] {
  return changedFiltersIn(sectionsOf(before, 'queues'), sectionsOf(after, 'queues'))
}
