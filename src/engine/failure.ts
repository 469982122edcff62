/**
 * The end of all safety: what was acknowledged can't be made safe any more. Reported once, by whoever finds it; then nothing
 * is acknowledged, and the process has to end.
 */
export class Failure {
  /** Rejects when it has come to that. */
  readonly happened: Promise<never>
  readonly #onFirst: (error: Error) => void
  #reject: (error: Error) => void = () => {}
  #error: Error | undefined

  constructor(onFirst: (error: Error) => void) {
    this.#onFirst = onFirst
    this.happened = new Promise<never>((_resolve, reject) => {
      this.#reject = reject
    })
    // Whoever does not ask still sees it in the log; it must not end the process as an unhandled rejection.
    this.happened.catch(() => {})
  }

  get error(): Error | undefined {
    return this.#error
  }

  report(error: Error): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.#onFirst(error)
    this.#reject(error)
  }
}
