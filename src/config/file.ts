/**
 * A configuration file's text as options: YAML 1.2, of which JSON is a part. Remembers where each option stands, so that
 * the schema's findings can point at line and column.
 */
import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { ConfigError } from './config-error.ts'

export interface ParsedFile {
  options: Record<string, unknown>
  /** `file:line:column` of the option's name, or of a list's item; undefined where the file doesn't have it. */
  placeOf(path: readonly PropertyKey[]): string | undefined
}

/** @throws ConfigError with line and column for text that is no YAML, and for a top level that isn't names and values */
export function parseConfigText(text: string, fileName: string): ParsedFile {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, uniqueKeys: true, prettyErrors: false, merge: false })
  const place = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset)
    return `${fileName}:${line}:${col}`
  }
  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    throw new ConfigError(faults.map(({ message, pos }) => ({ path: [], message, source: place(pos[0]) })))
  }
  if (document.contents !== null && !isMap(document.contents)) {
    // An empty file, or one of comments only, holds no options; that's fine.
    if (!(isScalar(document.contents) && document.contents.value === null)) {
      const message = 'expected options as names and values, for example `mqttPort: 1883`'
      throw new ConfigError([{ path: [], message, source: place(0) }])
    }
  }
  return {
    options: (toValues(document, place) ?? {}) as Record<string, unknown>,
    placeOf: (path) => {
      const offset = offsetOf(document.contents, path)
      return offset === undefined ? undefined : place(offset)
    },
  }
}

function toValues(document: Document.Parsed, place: (offset: number) => string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    // Aliases that resolve to nothing or to very much.
    throw new ConfigError([{ path: [], message: (error as Error).message, source: place(0) }])
  }
}

function offsetOf(contents: Node | null, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = contents
  let offset: number | undefined
  for (const key of path) {
    if (isSeq(node) && typeof key === 'number') {
      node = node.items[key]
      offset = (node as Node | undefined)?.range?.[0]
      continue
    }
    if (!isMap(node)) return undefined
    const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
    if (!pair) return undefined
    offset = (pair.key as Node).range?.[0]
    node = pair.value
  }
  return offset
}
