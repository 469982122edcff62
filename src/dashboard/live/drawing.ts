/** Draws a few times a second at most: when something has changed, and somebody looks. */
const drawIntervalMs = 250

export class Drawing {
  changed = false
  readonly #timer: ReturnType<typeof setInterval>

  constructor(draw: () => void) {
    this.#timer = setInterval(() => {
      if (!this.changed || document.hidden) return
      this.changed = false
      draw()
    }, drawIntervalMs)
  }

  end(): void {
    clearInterval(this.#timer)
  }
}
