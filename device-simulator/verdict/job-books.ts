/** The books of all queues that a part of the swarm works on. Workers of a queue and of its dead letters write into the same one. */
import type { GroupLayout, Layout } from '../layout.ts'
import { JobBook } from './job-book.ts'
import type { QueueFacts } from './judge-queues.ts'

export class JobBooks {
  readonly #layout: Layout
  /** By broker and queue. */
  readonly #books = new Map<string, JobBook>()

  constructor(layout: Layout) {
    this.#layout = layout
  }

  /** For the queue that a group consumes, or whose dead letters it does. */
  of(group: GroupLayout): JobBook {
    const { queue = '', deadLettersOf } = group.spec.consumes ?? {}
    const key = keyOf(this.#layout.brokerOf(group), deadLettersOf ?? queue)
    let book = this.#books.get(key)
    if (book === undefined) {
      const workers = this.#workersOf(key)?.spec.consumes
      book = new JobBook(workers?.orderBy === 'topic', workers?.attemptsMax ?? 1)
      this.#books.set(key, book)
    }
    return book
  }

  facts(): QueueFacts[] {
    return [...this.#books].flatMap(([key, book]) => {
      const group = this.#workersOf(key)
      if (group === undefined) return []
      const { queue, filter } = group.spec.consumes!
      const broker = this.#layout.brokerOf(group)
      const watchesDead = this.#layout.groups.some(
        (one) => this.#layout.brokerOf(one) === broker && one.spec.consumes?.deadLettersOf === queue,
      )
      return [{ ...book.snapshot(), broker, queue, filter: filter!, watchesDead }]
    })
  }

  #workersOf(key: string): GroupLayout | undefined {
    return this.#layout.groups.find((group) => {
      const { consumes } = group.spec
      return consumes?.filter !== undefined && keyOf(this.#layout.brokerOf(group), consumes.queue) === key
    })
  }
}

const keyOf = (broker: string, queue: string): string => `${broker} ${queue}`
