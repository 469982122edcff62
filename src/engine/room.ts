/**
 * How many connections there may be: of one listener, and of all of them, which is the room around its own.
 *
 * Those whose CONNECT is not accepted yet and those that are clients are counted apart, so that strangers who open connections
 * and say nothing take no client's place. Where too many of them wait, a newcomer displaces the one that has waited longest: a
 * client says CONNECT as soon as it can, so it is hardly ever that one. One that is being decided has said it, and stays. One that
 * was refused is there until its socket is gone.
 *
 * A room may limit how many come from one address, and how many come in a second. Those who have to wait for their turn are
 * in it, but take no place yet: the rate bounds how many they are.
 */
import { networkOf } from '../core/address.ts'
import { TokenBucket } from '../core/token-bucket.ts'
import { AddressCounts } from './address-counts.ts'

export interface RoomLimits {
  connectionsMax: number
  handshakesMax: number
  /** Clients from one address, and as many connections that are none yet. Absent: any number. */
  connectionsPerAddressMax?: number | undefined
  /** Connections that are let in each second. Absent: as they come. */
  connectsPerSecondMax?: number | undefined
}

/** A connection, as far as its place matters. */
export interface Guest {
  readonly client: { readonly connect: object | null; readonly ended: boolean }
  /** "address:port"; absent: it counts for no address. */
  readonly address?: string
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
  readonly #waiting = new Set<Guest>()
  #addresses: AddressCounts | null = null
  /** Of those who come in; made by the first one. */
  #pace: TokenBucket | null = null

  constructor(limits: RoomLimits, around: Room | null = null) {
    this.#limits = limits
    this.#around = around
    this.#countAddresses(limits)
  }

  /** For those who come from now on. */
  set limits(limits: RoomLimits) {
    if (limits.connectsPerSecondMax !== this.#limits.connectsPerSecondMax) this.#pace = null
    this.#limits = limits
    this.#countAddresses(limits)
  }

  #countAddresses({ connectionsPerAddressMax: max }: RoomLimits): void {
    if (max === undefined) {
      this.#addresses = null
    } else if (this.#addresses !== null) {
      this.#addresses.max = max
    } else {
      this.#addresses = new AddressCounts(max)
      for (const guest of [...this.#handshakes, ...this.#waiting]) this.#count(guest, 'handshakes', 1)
      for (const guest of this.#clients) this.#count(guest, 'clients', 1)
    }
  }

  #count({ address }: Guest, as: 'handshakes' | 'clients', count: 1 | -1): void {
    if (address !== undefined) this.#addresses?.add(address, as, count)
  }

  /** Everybody in it. */
  get guests(): readonly Guest[] {
    return [...this.#handshakes, ...this.#waiting, ...this.#clients]
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

  /** Whether its address has room for one more that has not said CONNECT. */
  mayEnter(guest: Guest): boolean {
    const { address } = guest
    const place = address === undefined || this.#addresses === null || this.#addresses.mayEnter(address)
    return place && (this.#around === null || this.#around.mayEnter(guest))
  }

  /** Takes one of the turns that there are each second. Returns the milliseconds until it has come; undefined: too many wait. */
  takeTurn(now: number, waitMsMax: number): number | undefined {
    const { connectsPerSecondMax: perSecond } = this.#limits
    if (perSecond === undefined) return this.#around === null ? 0 : this.#around.takeTurn(now, waitMsMax)
    // A tenth of a second's at once: a storm is served evenly.
    this.#pace ??= new TokenBucket({ perSecond, burst: Math.max(1, Math.floor(perSecond / 10)) }, now)
    const own = this.#pace.take(1, now)
    const around = own > waitMsMax || this.#around === null ? 0 : this.#around.takeTurn(now, waitMsMax)
    if (own <= waitMsMax && around !== undefined) return Math.max(own, around)
    this.#pace.giveBack(1)
    return undefined
  }

  /** Comes in without a place, until its turn has come and it enters. */
  wait(guest: Guest): void {
    this.#waiting.add(guest)
    this.#count(guest, 'handshakes', 1)
    this.#around?.wait(guest)
  }

  enter(guest: Guest): void {
    if (!this.#waiting.delete(guest)) this.#count(guest, 'handshakes', 1)
    this.#handshakes.add(guest)
    this.#around?.enter(guest)
  }

  /** Makes it a client, in place of `replaced` if that isn't null; false: there is no room for another. */
  admit(guest: Guest, replaced: Guest | null): boolean {
    if (!this.#mayAdmit(replaced) || !this.addressAdmits(guest, replaced)) return false
    this.#admitted(guest)
    return true
  }

  leave(guest: Guest): void {
    if (this.#handshakes.delete(guest) || this.#waiting.delete(guest)) this.#count(guest, 'handshakes', -1)
    if (this.#clients.delete(guest)) this.#count(guest, 'clients', -1)
    this.#around?.leave(guest)
  }

  /** Whether its address has room for one more client. */
  addressAdmits(guest: Guest, replaced: Guest | null): boolean {
    const { address } = guest
    if (address !== undefined && this.#addresses !== null) {
      const sameAddress = replaced?.address !== undefined && networkOf(replaced.address) === networkOf(address)
      if (!this.#addresses.mayAdmit(address, sameAddress && this.#clients.has(replaced!))) return false
    }
    return this.#around === null || this.#around.addressAdmits(guest, replaced)
  }

  #mayAdmit(replaced: Guest | null): boolean {
    const leaving = replaced !== null && this.#clients.has(replaced) ? 1 : 0
    const place = this.#clients.size - leaving < this.#limits.connectionsMax
    return place && (this.#around === null || this.#around.#mayAdmit(replaced))
  }

  #admitted(guest: Guest): void {
    if (this.#handshakes.delete(guest)) this.#count(guest, 'handshakes', -1)
    this.#clients.add(guest)
    this.#count(guest, 'clients', 1)
    if (this.#around !== null) this.#around.#admitted(guest)
  }

  #displace(): boolean {
    let looked = 0
    for (const guest of this.#handshakes) {
      if (guest.client.connect === null || guest.client.ended) {
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
