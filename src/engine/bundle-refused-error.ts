/** What the program gets whose bundle was refused. */
import type { BundleRefusal } from '../core/ports/bundle.ts'

/** Nothing of what was to be published and settled together was taken. */
export class BundleRefusedError extends Error {
  override name = 'BundleRefusedError'
  readonly part: 'messages' | 'settle'
  /** Of the first that could not be taken, from 0. */
  readonly index: number
  readonly reason: BundleRefusal['reason']

  /** @internal */
  constructor({ part, index, reason, text }: BundleRefusal) {
    super(`${part}[${index}]: ${text} (${reason}); nothing was taken`)
    this.part = part
    this.index = index
    this.reason = reason
  }
}
