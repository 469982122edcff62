/**
 * The content filters in use: one for each text, however many subscriptions have it. It is asked once about each message, whose payload
 * is parsed once for all of them.
 */
import { depthOf } from '../../json/depth.ts'
import { type PublishParts, publishProperties } from '../../mqtt/publish.ts'
import { decodeUtf8 } from '../../mqtt/utf8.ts'
import type { Cost } from '../cost.ts'
import type { Publication } from '../publish/publication.ts'
import { type Content, type Expression, holds, parseWhere } from './where.ts'

/** Different ones at the same time. */
export const contentFiltersMax = 10_000
/** A longer payload is not looked into: to a filter it is no JSON. */
export const filteredPayloadBytesMax = 64 * 1024
const payloadDepthMax = 32
/** Bytes of payload that are parsed in one step. */
const bytesPerStep = 512

export interface ContentFilter {
  readonly text: string
  readonly expression: Expression
  subscriptions: number
  /** The publication that it was asked about last, and what it said. */
  judged: number
  verdict: boolean
}

export class ContentFilters {
  readonly #filters = new Map<string, ContentFilter>()
  readonly #cost: Cost
  readonly #max: number
  #parsed = -1
  #content: Content = { payload: undefined, property: () => undefined }

  constructor(cost: Cost, max = contentFiltersMax) {
    this.#cost = cost
    this.#max = max
  }

  get size(): number {
    return this.#filters.size
  }

  /** For one more subscription. Null: there are too many. @throws WhereFault */
  use(text: string): ContentFilter | null {
    let filter = this.#filters.get(text)
    if (filter === undefined) {
      if (this.#filters.size >= this.#max) return null
      filter = { text, expression: parseWhere(text), subscriptions: 0, judged: -1, verdict: false }
      this.#filters.set(text, filter)
    }
    filter.subscriptions++
    return filter
  }

  /** A subscription that had it is over. */
  release(filter: ContentFilter): void {
    if (--filter.subscriptions === 0) this.#filters.delete(filter.text)
  }

  /** Whether the publication that is being routed is wanted. */
  matches(filter: ContentFilter, publication: Publication): boolean {
    if (filter.judged === publication.number) return filter.verdict
    if (this.#parsed !== publication.number) {
      this.#parsed = publication.number
      this.#content = this.#contentOf(publication.parts)
    }
    filter.judged = publication.number
    filter.verdict = this.#holds(filter, this.#content)
    return filter.verdict
  }

  /** The same for one that is not. */
  matchesMessage(filter: ContentFilter, message: PublishParts): boolean {
    return this.#holds(filter, this.#contentOf(message))
  }

  #holds({ text, expression }: ContentFilter, content: Content): boolean {
    this.#cost.steps += 1 + (text.length >> 5)
    return holds(expression, content)
  }

  #contentOf({ payload, forwardProperties }: PublishParts): Content {
    this.#cost.steps += Math.ceil(Math.min(payload.length, filteredPayloadBytesMax) / bytesPerStep)
    let properties: ReadonlyMap<string, string> | undefined
    return {
      payload: parsed(payload),
      property(name) {
        properties ??= userPropertiesOf(forwardProperties)
        return properties.get(name)
      },
    }
  }
}

/** By name, since each comparison of each filter may look for one; of several of a name the first. */
function userPropertiesOf(forwardProperties: Uint8Array): ReadonlyMap<string, string> {
  const byName = new Map<string, string>()
  if (forwardProperties.length === 0) return byName
  for (const [name, value] of publishProperties(forwardProperties).userProperties ?? [])
    if (!byName.has(name)) byName.set(name, value)
  return byName
}

function parsed(payload: Uint8Array): unknown {
  if (payload.length === 0 || payload.length > filteredPayloadBytesMax) return undefined
  const text = decodeUtf8(payload, 0, payload.length)
  if (text === undefined || depthOf(text) > payloadDepthMax) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
