/**
 * Ends of sessions that are still to be committed. A CONNACK that says "no session" is a promise that the old one does not come
 * back, so it waits for that commit, also where the connection that ended the old session had gone before and its own CONNECT
 * changes nothing in the store. As many as there are records waiting for their commit, which has a limit.
 */
import type { Namespace } from '../namespace.ts'
import type { Session } from './session.ts'

const keyOf = ({ storedName }: Namespace, clientId: string): string => `${storedName}\0${clientId}`

export class SessionEndings {
  /** The turn that records the end, in the order of turns. */
  readonly #tickets = new Map<string, number>()

  add({ namespace, clientId }: Session, ticket: number): void {
    const key = keyOf(namespace, clientId)
    this.#tickets.delete(key)
    this.#tickets.set(key, ticket)
  }

  /** 0: none. */
  ticketOf(namespace: Namespace, clientId: string): number {
    return this.#tickets.size === 0 ? 0 : (this.#tickets.get(keyOf(namespace, clientId)) ?? 0)
  }

  onCommit(committed: number): void {
    for (const [key, ticket] of this.#tickets) {
      if (ticket > committed) return
      this.#tickets.delete(key)
    }
  }
}
