/**
 * What one connection counts for in the budgets of packets that are not whole: before its CONNECT in that of handshakes, for
 * strangers must not spend what clients need, and from then on in that of all clients.
 */
import type { Budget, Budgets } from '../core/budgets.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'

export class InputMemory {
  readonly #budgets: Budgets
  #budget: Budget
  #bytes = 0

  constructor(budgets: Budgets) {
    this.#budgets = budgets
    this.#budget = budgets.handshakeBytes
  }

  /** @throws ProtocolError where all incomplete packets together have no room for it */
  count(bytes: number, connected: boolean): void {
    if (bytes === this.#bytes) return
    this.#budget.used -= this.#bytes
    if (connected) this.#budget = this.#budgets.partialPacketBytes
    const admitted = bytes <= this.#bytes || this.#budget.admits(bytes)
    this.#budget.used += bytes
    this.#bytes = bytes
    if (!admitted) throw new ProtocolError(ReasonCode.quotaExceeded, 'incomplete packets take too much memory')
  }

  end(): void {
    this.#budget.used -= this.#bytes
    this.#bytes = 0
  }
}
