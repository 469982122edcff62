/**
 * What an operator does with a whole queue: purge it, or give dead letters back to where they came from.
 *
 * First goes what is in memory, then what is in the store only, page by page, a turn for each: so that a million messages hold up
 * nobody. What is being worked on stays.
 */
import { topicMatchesFilter } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import type { RecoveredPage } from '../ports/recovered.ts'
import type { Message } from '../publish/message.ts'
import { messageOf } from '../session/queue-pages.ts'
import { moveStored, moveTo } from './dead-letter.ts'
import type { Lane } from './lane.ts'
import type { Queue } from './queue.ts'
import { type Past, type QueuedMessage, recoveredPast } from './queued-message.ts'

/** Messages in memory that one turn looks at. */
const messagesPerTurn = 1000

interface Sweep {
  /** Whether the message in memory went. */
  take(queued: QueuedMessage): boolean
  /** The same of one in the store only. */
  takeStored(lane: Lane, position: number, message: Message, past: Past | null): boolean
  /** No more are wanted. */
  readonly isOver: boolean
  done(): void
}

const matches = (filter: string | null, { name }: Message): boolean =>
  filter === null || topicMatchesFilter(filter, name)

/** Drops what is not being worked on. False: the queue is being swept already. */
export function purgeQueue(
  broker: Broker,
  queue: Queue,
  filter: string | null,
  done: (purged: number) => void,
): boolean {
  let purged = 0
  const count = (): true => {
    purged++
    queue.totals.purged++
    return true
  }
  return sweep(broker, queue, {
    isOver: false,
    take(queued) {
      if (!matches(filter, queued.message)) return false
      queue.remove(broker, queued)
      return count()
    },
    takeStored(lane, position, message) {
      if (!matches(filter, message)) return false
      broker.journal.dequeue(lane, position, null)
      return count()
    },
    done: () => done(purged),
  })
}

/** Dead letters go back, up to so many. False: the queue is being swept already. */
export function redriveQueue(
  broker: Broker,
  queue: Queue,
  { max, filter }: { max: number; filter: string | null },
  done: (redriven: number) => void,
): boolean {
  let redriven = 0
  let stuck = false
  const targetOf = (past: Past | null, message: Message): Queue | null => {
    const to = past === null || past.queue === '' ? undefined : queue.namespace.queues.get(past.queue)
    if (to === undefined || to === queue || !to.declared || !matches(filter, message)) return null
    // It would push others out, or be refused.
    if (to.hasRoom) return to
    stuck = true
    return null
  }
  const back = (): Past => ({ at: broker.now, queue: '', reason: '', attempts: 0, text: '' })
  const count = (): true => {
    redriven++
    queue.totals.redriven++
    return true
  }
  return sweep(broker, queue, {
    get isOver() {
      return stuck || redriven >= max
    },
    take(queued) {
      const to = targetOf(queued.past, queued.message)
      if (to === null) return false
      moveTo(broker, queued, to, back())
      return count()
    },
    takeStored(lane, position, message, past) {
      const to = targetOf(past, message)
      if (to === null) return false
      moveStored(broker, lane, position, to.takeOver(broker, message, back()))
      to.pump()
      return count()
    },
    done: () => done(redriven),
  })
}

function sweep(broker: Broker, queue: Queue, one: Sweep): boolean {
  if (queue.isSwept) return false
  queue.isSwept = true
  const inMemory = messagesInMemory(queue)
  const piece = (): boolean => {
    for (let left = messagesPerTurn; left > 0; left--) {
      const next = one.isOver ? undefined : inMemory.next()
      if (next === undefined || next.done === true) {
        sweepStored(broker, queue, one, queue.lanes.length - 1, 0)
        return true
      }
      const { lease, stage } = next.value
      if (lease === null && stage !== 'gone') one.take(next.value)
    }
    return false
  }
  if (!piece()) broker.later(piece)
  return true
}

function* messagesInMemory({ lanes }: Queue): Generator<QueuedMessage> {
  for (const lane of [...lanes].reverse()) if (lane !== null) yield* lane.messages.values()
}

/** From this position of this priority on, then those below it. */
function sweepStored(broker: Broker, queue: Queue, one: Sweep, priority: number, from: number): void {
  for (let at = priority; at >= 0 && !one.isOver; at--) {
    const lane = queue.lanes[at]
    if (lane == null || !lane.hasMoreStored) continue
    const start = Math.max(at === priority ? from : 0, lane.residentEnd)
    if (start >= lane.nextPosition) continue
    const isAsked = lane.requestPage(broker, start, (page) => {
      const end = takePage(broker, lane, page, one)
      sweepStored(broker, queue, one, at, page.more ? end : lane.nextPosition)
    })
    // Somebody else reads a page: it is tried again behind that.
    if (!isAsked) broker.awaitTurn({ pump: () => sweepStored(broker, queue, one, at, start) })
    return
  }
  queue.isSwept = false
  one.done()
  queue.pump()
}

/** Returns where the next page begins. */
function takePage(broker: Broker, lane: Lane, page: RecoveredPage, one: Sweep): number {
  let end = 0
  for (const { reference, message: stored } of page.entries) {
    const { position, sharedFilter } = reference
    end = position + 1
    // It came into memory meanwhile.
    if (position < lane.residentEnd || one.isOver) continue
    const message = messageOf(stored)
    if (one.takeStored(lane, position, message, recoveredPast(sharedFilter)))
      lane.forgetStored(broker, position, message)
  }
  return end
}
