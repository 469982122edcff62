/** Server-sent events out of the pieces that a stream comes in. What is not an event or its data is left out. */
export class EventParser {
  readonly #onEvent: (event: string, data: string) => void
  /** The beginning of a line whose end has not come. */
  #rest = ''
  #event = 'message'
  #data: string[] = []

  constructor(onEvent: (event: string, data: string) => void) {
    this.#onEvent = onEvent
  }

  take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) this.#takeLine(line.endsWith('\r') ? line.slice(0, -1) : line)
  }

  #takeLine(line: string): void {
    if (line === '') {
      if (this.#data.length > 0) this.#onEvent(this.#event, this.#data.join('\n'))
      this.#event = 'message'
      this.#data = []
      return
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!
    if (field === 'event') this.#event = value!
    else if (field === 'data') this.#data.push(value!)
  }
}
