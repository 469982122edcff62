/** Nothing comes for the first time after it has expired. */
import type { Books } from './books.ts'
import type { Client } from './client.ts'

export interface WrittenPublish {
  readonly id: string
  readonly dup: boolean
  readonly firstTime: boolean
}

export function judgeExpired(
  books: Books,
  client: Client,
  { id, dup, firstTime }: WrittenPublish,
  nowMs: number,
): void {
  const publication = books.publications.get(id)
  if (publication === undefined || publication.expirySeconds === 0 || client.wire === null) return
  // Somebody has set the clock between two processes since.
  if (publication.firstSent < (books.jumps.at(-1) ?? 0)) return
  const late = nowMs - (publication.lastSentMs + publication.expirySeconds * 1000)
  if (late < 0 || !firstTime || client.wire.lastBlockedMs >= publication.lastSentMs) return
  // It may have been sent on another connection, and ended with that on the way.
  if (dup && client.lastEnd > publication.firstSent) return
  books.fault(`${client.id}: ${id} came ${late} ms after it had expired`)
}
