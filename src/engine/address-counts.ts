/** How many connections come from each address; of IPv6 from each network of 64 bits. This machine's own are not counted. */
import { isOwnMachine, networkOf } from '../core/address.ts'

interface Counted {
  handshakes: number
  clients: number
}

export class AddressCounts {
  max: number
  readonly #networks = new Map<string, Counted>()

  constructor(max: number) {
    this.max = max
  }

  /** Networks with a connection at least. */
  get size(): number {
    return this.#networks.size
  }

  /** Whether one more may come in before its CONNECT: as many as may be clients. */
  mayEnter(address: string): boolean {
    return (this.#of(address)?.handshakes ?? 0) < this.max
  }

  /** Whether one may become a client, in place of another of this address where `takesOver`. */
  mayAdmit(address: string, takesOver: boolean): boolean {
    return (this.#of(address)?.clients ?? 0) - (takesOver ? 1 : 0) < this.max
  }

  add(address: string, as: keyof Counted, count: 1 | -1): void {
    if (isOwnMachine(address)) return
    const network = networkOf(address)
    const counted = this.#networks.get(network) ?? { handshakes: 0, clients: 0 }
    counted[as] += count
    if (counted.handshakes + counted.clients > 0) this.#networks.set(network, counted)
    else this.#networks.delete(network)
  }

  #of(address: string): Counted | undefined {
    return isOwnMachine(address) ? undefined : this.#networks.get(networkOf(address))
  }
}
