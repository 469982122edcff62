/**
 * How many connections there may be: of one listener, and of all of them, which is the room around its own.
 *
 * Those whose CONNECT is not accepted yet and those that are clients are counted apart, so that strangers who open connections
 * and say nothing take no client's place. Where too many of them wait, a newcomer displaces the one that has waited longest: a
 * client says CONNECT as soon as it can, so it is hardly ever that one. One that is being decided has said it, and stays.
 */

export interface RoomLimits {
  connectionsMax: number
  handshakesMax: number
}

/** A connection, as far as its place matters. */
export interface Guest {
  readonly client: { readonly connect: object | null }
  onClosed(reason: string): void
  destroy(): void
}

/** How many that wait longest are looked at for one that has not sent its CONNECT. */
const lookedAtMax = 16

export class Room {
  #limits: RoomLimits
  readonly #around: Room | null
  /** In the order in which they came. */
  readonly #handshakes = new Set<Guest>()
  readonly #clients = new Set<Guest>()

  constructor(limits: RoomLimits, around: Room | null = null) {
    this.#limits = limits
    this.#around = around
  }

  /** For those who come from now on. */
  set limits(limits: RoomLimits) {
    this.#limits = limits
  }

  /** Everybody in it. */
  get guests(): readonly Guest[] {
    return [...this.#handshakes, ...this.#clients]
  }

  get handshakes(): number {
    return this.#handshakes.size
  }

  get clients(): number {
    return this.#clients.size
  }

  /** Whether one more may come in before its CONNECT, displacing another where it must. */
  makePlace(): boolean {
    const full = this.#handshakes.size >= this.#limits.handshakesMax
    return (!full || this.#displace()) && (this.#around === null || this.#around.makePlace())
  }

  enter(guest: Guest): void {
    this.#handshakes.add(guest)
    this.#around?.enter(guest)
  }

  /** Makes it a client, in place of `replaced` if that isn't null; false: there is no room for another. */
  admit(guest: Guest, replaced: Guest | null): boolean {
    if (!this.#mayAdmit(replaced)) return false
    this.#admitted(guest)
    return true
  }

  leave(guest: Guest): void {
    this.#handshakes.delete(guest)
    this.#clients.delete(guest)
    this.#around?.leave(guest)
  }

  #mayAdmit(replaced: Guest | null): boolean {
    const leaving = replaced !== null && this.#clients.has(replaced) ? 1 : 0
    const place = this.#clients.size - leaving < this.#limits.connectionsMax
    return place && (this.#around === null || this.#around.#mayAdmit(replaced))
  }

  #admitted(guest: Guest): void {
    this.#handshakes.delete(guest)
    this.#clients.add(guest)
    if (this.#around !== null) this.#around.#admitted(guest)
  }

  #displace(): boolean {
    let looked = 0
    for (const guest of this.#handshakes) {
      if (guest.client.connect === null) {
        guest.onClosed('handshake_displaced')
        guest.destroy()
        return true
      }
      // Behind the others, so that the next look finds one to displace sooner.
      this.#handshakes.delete(guest)
      this.#handshakes.add(guest)
      if (++looked === lookedAtMax) return false
    }
    return false
  }
}
