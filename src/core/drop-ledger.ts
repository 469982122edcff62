/**
 * Who lost what, why and when: drops by client, reason and the beginning of the topic, so that whoever misses messages finds his
 * line. Counters say how many there were; this says whose.
 *
 * It keeps so many lines; the one that nothing was added to for longest gives way, and that is counted. Clients choose their ids and topics: long ones are
 * cut. Where drops of more clients and topics come in a second than are told apart, the rest stands in one line for each reason, without client and
 * topic. Drops come in runs (a slow client, a thousand messages): the line of the latest is at hand, and a run costs a comparison each.
 */
import type { DropReason } from './counters.ts'

export const dropLinesMax = 1000
/** To find a line costs a microsecond or two; a message that thousands do not get must not cost thousands of them. */
export const dropLinesFoundPerSecondMax = 20_000
const textCharactersMax = 256
const prefixCharactersMax = 64
const prefixLevels = 2

export interface DropLine {
  readonly namespace: string
  /** Empty: no client in particular. */
  readonly clientId: string
  readonly reason: DropReason
  /** The topic's first levels; empty: not known, as of what is in the store only. */
  readonly topicPrefix: string
  count: number
  readonly firstAt: number
  lastAt: number
  /** The topic of the latest: while it stays the same, so does the line. */
  topic: string
  /** False: it gave way to another. */
  live: boolean
}

/** Who bears a drop, with the line of his latest. */
export interface DropBearer {
  readonly namespace: { readonly name: string }
  /** Empty: a namespace, where no session is concerned. */
  readonly clientId: string
  dropLine: DropLine | null
}

export interface DropWatcher {
  /** Must not publish: it may be in the middle of a message's way. */
  dropped(reason: DropReason, bearer: DropBearer, topic: string, count: number): void
}

export class DropLedger {
  /** How often a line gave way to another. */
  linesLost = 0
  /** Told of each drop; null: nobody asks. */
  #watcher: DropWatcher | null = null
  #explainer: DropWatcher | null = null
  #hook: DropWatcher | null = null
  readonly #clock: { readonly now: number }
  /** Those that were added to lately last. */
  readonly #lines = new Map<string, DropLine>()
  readonly #rest: DropBearer = { namespace: { name: '' }, clientId: '', dropLine: null }
  #second = 0
  #foundThisSecond = 0

  constructor(clock: { readonly now: number }) {
    this.#clock = clock
  }

  /** Who explains messages; null: nobody. */
  set explainer(watcher: DropWatcher | null) {
    this.#explainer = watcher
    this.#watch()
  }

  /** The program around the broker; null: it does not ask. */
  set hook(watcher: DropWatcher | null) {
    this.#hook = watcher
    this.#watch()
  }

  #watch(): void {
    const [explainer, hook] = [this.#explainer, this.#hook]
    if (explainer === null || hook === null) this.#watcher = explainer ?? hook
    else
      this.#watcher = {
        dropped(...drop) {
          explainer.dropped(...drop)
          hook.dropped(...drop)
        },
      }
  }

  get lines(): Iterable<DropLine> {
    return this.#lines.values()
  }

  note(bearer: DropBearer, topic: string, reason: DropReason, count: number): void {
    if (this.#watcher !== null) this.#watcher.dropped(reason, bearer, topic, count)
    let line = bearer.dropLine
    if (line === null || line.reason !== reason || line.topic !== topic || !line.live) {
      if (this.#mayFind()) {
        line = this.#find(bearer, topic, reason)
        bearer.dropLine = line
      } else {
        line = this.#together(reason)
      }
    }
    line.count += count
    line.lastAt = this.#clock.now
  }

  #mayFind(): boolean {
    const second = Math.floor(this.#clock.now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#foundThisSecond = 0
    }
    return this.#foundThisSecond++ < dropLinesFoundPerSecondMax
  }

  /** The line of those that are not told apart. */
  #together(reason: DropReason): DropLine {
    const bearer = this.#rest
    const line = bearer.dropLine
    if (line !== null && line.reason === reason && line.live) return line
    bearer.dropLine = this.#find(bearer, '', reason)
    return bearer.dropLine
  }

  #find({ namespace, clientId }: DropBearer, topic: string, reason: DropReason): DropLine {
    const shownId = cut(clientId)
    const topicPrefix = prefixOf(topic)
    const key = `${namespace.name}\u0000${reason}\u0000${topicPrefix}\u0000${shownId}`
    let line = this.#lines.get(key)
    if (line === undefined) {
      const { now } = this.#clock
      const own = { namespace: namespace.name, clientId: shownId, reason, topicPrefix }
      line = { ...own, count: 0, firstAt: now, lastAt: now, topic: '', live: true }
      if (this.#lines.size >= dropLinesMax) this.#giveWay()
    } else {
      this.#lines.delete(key)
    }
    this.#lines.set(key, line)
    line.topic = topic.length > textCharactersMax ? topicPrefix : topic
    return line
  }

  #giveWay(): void {
    for (const [key, oldest] of this.#lines) {
      this.#lines.delete(key)
      oldest.live = false
      this.linesLost++
      return
    }
  }
}

function prefixOf(topic: string): string {
  let end = topic.indexOf('/')
  for (let levels = 1; end >= 0 && levels < prefixLevels; levels++) end = topic.indexOf('/', end + 1)
  return end < 0 ? cut(topic, prefixCharactersMax) : cut(topic.slice(0, end), prefixCharactersMax)
}

/** A copy: a part of a text would keep the whole of it. */
function cut(text: string, charactersMax = textCharactersMax): string {
  return text.length <= charactersMax ? text : `${[...text.slice(0, charactersMax)].join('')}…`
}
