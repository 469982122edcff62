/**
 * Pages of long lists. A page is gone for through the whole list in slices of a few milliseconds, between which the gateway
 * does its own work; of what fits, no more is kept than the page needs, in order.
 *
 * A cursor is the place of the page's last row in the order: the value that it is sorted by, and its identity. So rows that
 * come and go between two pages move none of the others, and a page beyond the end is an empty one.
 */
import { setImmediate } from 'node:timers/promises'
import { Problem } from './problem.ts'

/** How long a slice may take. */
const sliceMs = 4
/** Between two looks at the clock. */
const rowsPerLook = 64
/** Lists that are gone through at once; whoever comes on top is told to come again. */
const walksMax = 8

export type SortValue = string | number

export interface Order<Row> {
  /** What rows are sorted by, unless that is their identity. */
  value(row: Row): SortValue
  /** Unlike any other row's. */
  identity(row: Row): string
  descending: boolean
}

export interface PageWanted<Row> {
  limit: number
  cursor: string | undefined
  order: Order<Row>
  matches(row: Row): boolean
}

export interface Page<Row> {
  rows: Row[]
  /** Null: this is the last page. */
  nextCursor: string | null
}

type Place = readonly [value: SortValue, identity: string]

interface Placed<Row> {
  row: Row
  place: Place
}

export class Pages {
  readonly #now: () => number
  #walks = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** @throws Problem for a cursor that is none, and while too many lists are gone through */
  async page<Row>(rows: Iterable<Row | null>, { limit, cursor, order, matches }: PageWanted<Row>): Promise<Page<Row>> {
    const after = cursor === undefined ? undefined : placeOf(cursor)
    const compare = order.descending ? (a: Place, b: Place) => comparePlaces(b, a) : comparePlaces
    const kept: Placed<Row>[] = []
    /** Whoever reconnects between two slices is met twice. */
    const identities = new Set<string>()
    const keepsMax = 4 * (limit + 1)
    const shorten = () => {
      kept.sort((a, b) => compare(a.place, b.place))
      for (const { place } of kept.splice(limit + 1)) identities.delete(place[1])
    }
    await this.walk(rows, (row) => {
      if (!matches(row)) return
      const place = [order.value(row), order.identity(row)] as const
      if (after !== undefined && compare(place, after) <= 0) return
      if (identities.has(place[1])) return
      identities.add(place[1])
      kept.push({ row, place })
      if (kept.length >= keepsMax) shorten()
    })
    shorten()
    const page = kept.slice(0, limit)
    const last = kept.length > limit ? page.at(-1) : undefined
    return { rows: page.map(({ row }) => row), nextCursor: last === undefined ? null : cursorOf(last.place) }
  }

  /** Shows each row to `look`, in slices. */
  async walk<Row>(rows: Iterable<Row | null>, look: (row: Row) => void): Promise<void> {
    if (this.#walks >= walksMax) {
      throw new Problem(503, `${walksMax} lists are being read already`, { headers: { 'retry-after': '1' } })
    }
    this.#walks++
    try {
      let sliceEnd = this.#now() + sliceMs
      let untilLook = rowsPerLook
      for (const row of rows) {
        if (row !== null) look(row)
        if (--untilLook > 0) continue
        untilLook = rowsPerLook
        if (this.#now() < sliceEnd) continue
        await setImmediate()
        sliceEnd = this.#now() + sliceMs
      }
    } finally {
      this.#walks--
    }
  }
}

function comparePlaces([a, aIdentity]: Place, [b, bIdentity]: Place): number {
  if (a !== b) return a < b ? -1 : 1
  return aIdentity === bIdentity ? 0 : aIdentity < bIdentity ? -1 : 1
}

function cursorOf(place: Place): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url')
}

function placeOf(cursor: string): Place {
  try {
    const place = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown
    if (Array.isArray(place) && place.length === 2 && typeof place[1] === 'string') {
      if (typeof place[0] === 'string' || typeof place[0] === 'number') return [place[0], place[1]]
    }
  } catch {}
  throw new Problem(400, 'the cursor is none of ours', { errors: [{ path: 'query.cursor', message: 'not a cursor' }] })
}
