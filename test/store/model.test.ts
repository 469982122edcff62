/** SQLite against the store in memory: the same random history, the same state after every restart, and exact counts. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { BatchWriter } from '../../src/store/batch.ts'
import { checkStore } from '../../src/store/check.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import type { Durability, Store } from '../../src/store/store.ts'
import { message, reference, session, subscription, will } from '../contract/example-records.ts'
import { open, plain } from '../contract/survived.ts'

const steps = [
  'publish',
  'publish',
  'publish to one',
  'publish to one',
  'dequeue',
  'dequeue',
  'release',
  'complete',
  'move',
  'hand over',
  'hand over',
  'sent',
  'retain',
  'retain again',
  'unretain',
  'end session',
  'session state',
  'commit',
  'restart',
] as const

type Step = { step: (typeof steps)[number]; a: number; b: number; flag: boolean }

/** Turns steps into records that make sense one after the other: only what is there is named. */
class History {
  readonly writer = new BatchWriter()
  readonly sessions: number[] = []
  readonly #references = new Map<string, { owner: number; position: number; id: number }>()
  readonly #released: [owner: number, position: number][] = []
  #nextSession = 1
  #nextMessage = 1
  #nextPosition = 1

  constructor() {
    for (let i = 0; i < 3; i++) this.#begin()
  }

  apply({ step, a, b, flag }: Step): void {
    switch (step) {
      case 'publish':
        this.#publish(a, b, flag)
        break
      case 'publish to one':
        this.#publishToOne(a, b, flag)
        break
      case 'dequeue':
        this.#take(a, (owner, position) => this.writer.dequeue(owner, position))
        break
      case 'release':
        this.#take(a, (owner, position) => {
          this.writer.release(owner, position)
          this.#released.push([owner, position])
        })
        break
      case 'complete':
        this.#complete(b)
        break
      case 'move':
        this.#move(a, b, flag)
        break
      case 'hand over':
        this.#handOver(a, b)
        break
      case 'sent':
        this.writer.sent(this.#owner(a), b)
        break
      case 'retain': {
        const id = this.#nextMessage++
        this.writer.messagePut(message(id), flag ? 1 : b % 3)
        this.writer.retainedPut(`t/${a % 4}`, id, id)
        break
      }
      case 'retain again': {
        const named = this.#pick(a)
        if (named && named.id > 0) this.writer.retainedPut(`t/${b % 4}`, named.id, named.id)
        break
      }
      case 'unretain':
        this.writer.retainedDelete(`t/${a % 4}`, 1e15)
        break
      case 'end session':
        this.#end(a)
        break
      case 'session state':
        this.#state(a, b, flag)
        break
    }
  }

  #begin(): void {
    const number = this.#nextSession++
    this.sessions.push(number)
    this.writer.sessionPut(session(number))
  }

  #owner(a: number): number {
    return this.sessions[a % this.sessions.length]!
  }

  #pick(a: number) {
    return [...this.#references.values()][a % Math.max(1, this.#references.size)]
  }

  #enqueue(owner: number, id: number): void {
    const position = this.#nextPosition++
    this.#references.set(`${owner} ${position}`, { owner, position, id })
    this.writer.enqueue(reference(owner, position, id, { retain: position % 2 === 0 }))
  }

  #publish(recipients: number, announced: number, late: boolean): void {
    const id = this.#nextMessage++
    this.writer.messagePut(message(id, { payload: new Uint8Array(announced * 3) }), announced % 5)
    if (late) this.writer.messagePut(message(this.#nextMessage++), 0)
    for (let i = 0; i < recipients % 4; i++) this.#enqueue(this.#owner(i), id)
  }

  /** Several in a row, so that runs get long; some to be named again later, which takes another body. */
  #publishToOne(a: number, bytes: number, many: boolean): void {
    const owner = this.#owner(a)
    for (let i = 0; i < (many ? 150 : 1); i++) {
      const position = this.#nextPosition++
      this.#references.set(`${owner} ${position}`, { owner, position, id: 0 })
      this.writer.enqueueMessage(
        reference(owner, position, 0, { subscriptionIdentifiers: position % 3 ? [] : [position] }),
        message(0, { payload: new Uint8Array(bytes * 20).fill(position), topic: `own/${position % 5}` }),
      )
    }
  }

  #complete(b: number): void {
    const [released] = this.#released.splice(b % Math.max(1, this.#released.length), 1)
    if (released) this.writer.complete(...released)
  }

  #take(a: number, write: (owner: number, position: number) => void): void {
    const taken = this.#pick(a)
    if (!taken) return
    this.#references.delete(`${taken.owner} ${taken.position}`)
    write(taken.owner, taken.position)
  }

  #move(a: number, b: number, first: boolean): void {
    const moved = this.#pick(a)
    if (!moved) return
    const again = () => (moved.id === 0 ? this.#publishToOne(b, 1, false) : this.#enqueue(this.#owner(b), moved.id))
    if (first) again()
    this.#references.delete(`${moved.owner} ${moved.position}`)
    this.writer.dequeue(moved.owner, moved.position)
    if (!first) again()
  }

  #handOver(a: number, b: number): void {
    const moved = this.#pick(a)
    if (!moved) return
    const { owner, position, id } = moved
    const to = { owner: this.#owner(b), position: this.#nextPosition++, id }
    this.#references.delete(`${owner} ${position}`)
    this.#references.set(`${to.owner} ${to.position}`, to)
    this.writer.move(owner, position, reference(to.owner, to.position, 0, { sharedFilter: b % 2 ? '' : '$share/g/t' }))
  }

  #end(a: number): void {
    const owner = this.#owner(a)
    this.sessions.splice(this.sessions.indexOf(owner), 1)
    for (const [key, one] of this.#references) if (one.owner === owner) this.#references.delete(key)
    this.writer.sessionDelete(owner)
    this.#begin()
  }

  #state(a: number, b: number, put: boolean): void {
    const owner = this.#owner(a)
    if (put) {
      this.writer.subscriptionPut(subscription(owner, `f/${b % 3}`, { identifier: b }))
      this.writer.incomingPut(owner, 1 + (b % 3))
      this.writer.willPut(will(owner, { delayInterval: b }))
    } else {
      this.writer.subscriptionDelete(owner, `f/${b % 3}`)
      this.writer.incomingDelete(owner, 1 + (b % 3))
      this.writer.willDelete(owner)
    }
  }
}

/** What a client of the store can see. */
async function visible(store: Store, sessions: readonly number[]) {
  const { order: _, ...survived } = await open(store)
  const queues = await Promise.all(sessions.map((number) => store.readQueue(number, 0, 1000, 1e9)))
  const entries = queues.map((queue) =>
    queue.entries.map(({ reference, message }) => [
      reference,
      { ...message, payload: plain(message.payload), properties: plain(message.properties) },
    ]),
  )
  return { survived, entries }
}

it('SQLite keeps what the store in memory keeps, through any history', async () => {
  const history = fc.array(
    fc.record({
      step: fc.constantFrom(...steps),
      a: fc.nat({ max: 50 }),
      b: fc.nat({ max: 50 }),
      flag: fc.boolean(),
    }),
    { maxLength: 80 },
  )
  await fc.assert(fc.asyncProperty(history, compare), { numRuns: 40 })
})

async function compare(history: readonly Step[]): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-model-'))
  const reference = new MemoryStore({ durable: true })
  let store = new SqliteInlineStore({ dataDir, walCheckpointBytes: 50_000 })
  const made = new History()
  try {
    await visible(store, [])
    for (const one of [...history, { step: 'restart', a: 0, b: 0, flag: false } as const]) {
      made.apply(one)
      if (one.step !== 'commit' && one.step !== 'restart') continue
      const packed = made.writer.take()
      await reference.commit(packed.slice(), 'fsync')
      await store.commit(packed, (['fsync', 'process', 'none'] as const satisfies Durability[])[one.a % 3]!)
      if (one.step !== 'restart') continue
      await store.close()
      expect(checkStore(dataDir).disagreements).toEqual({
        orphanedMessages: 0,
        missingMessages: 0,
        wrongCounts: 0,
        rowsWithoutSession: 0,
      })
      store = new SqliteInlineStore({ dataDir, walCheckpointBytes: 50_000 })
      expect(await visible(store, made.sessions)).toEqual(await visible(reference, made.sessions))
    }
  } finally {
    await store.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
}
