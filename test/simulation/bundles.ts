/**
 * Jobs that are settled together with what was made of them: two results each, in a queue of their own. Whenever the process dies, both
 * results are there and the job is done, or neither is there and the job comes again; and what was said to be done is.
 */
import type { QueueName } from '../../src/core/ports/queues.ts'
import type { Books } from './books.ts'
import type { Process } from './process.ts'
import { Random } from './random.ts'

export const results = { namespace: 'default', name: 'results' }

interface Bundle {
  readonly job: string
  /** Its commit was told of. */
  confirmed: boolean
}

export class Bundles {
  readonly #books: Books
  readonly #random: Random
  /** By what begins the names of its results. */
  readonly #made = new Map<string, Bundle>()
  #begun = 0

  constructor(seed: number, books: Books) {
    this.#random = new Random(seed ^ 0xb0d1e)
    this.#books = books
  }

  wants(): boolean {
    return this.#random.chance(0.5)
  }

  /** `refused`: the job is still with whoever has it. */
  settle(process: Process, job: { queue: QueueName; delivery: string }, id: string, refused: () => void): void {
    const name = `bundle${this.#begun++}`
    const bundle: Bundle = { job: id, confirmed: false }
    const part = (which: string) => {
      const payload = Buffer.from(`${name}-${which} `)
      return { topic: '$queue/results', payload, qos: 1, retain: false, properties: {} } as const
    }
    this.#made.set(name, bundle)
    const verdicts = [{ ...job, verdict: 'ack' as const }]
    process.bundle({ messages: [part('one'), part('two')], verdicts }).then(
      (told) => {
        if ('outcomes' in told) bundle.confirmed = true
        else {
          this.#made.delete(name)
          this.#books.note(`work: ${name} is refused: ${told.text}`)
          if (told.part === 'settle') this.#books.fault(`work: ${name} about ${id} is refused: ${told.text}`)
          refused()
        }
      },
      () => this.#books.note(`work: ${name} was under way when the process ended`),
    )
  }

  /** What there is of results in the end. Returns the jobs that are done by them. */
  judge(left: readonly string[]): ReadonlySet<string> {
    const done = new Set<string>()
    for (const [name, { job, confirmed }] of this.#made) {
      const count = (which: string) => left.filter((one) => one === `${name}-${which}`).length
      const [one, two] = [count('one'), count('two')]
      if (one !== two || one > 1) this.#books.fault(`work: of ${name} there are ${one} and ${two} results`)
      if (confirmed && one === 0) this.#books.fault(`work: ${name} was told to be stored and is not there`)
      if (one > 0) done.add(job)
    }
    return done
  }
}
