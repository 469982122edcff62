/**
 * The files that payloads draw from: replayed CSV and JSONL, GeoJSON tracks, and JavaScript modules, MQTTX's simulate
 * modules among them. All are read before the run; a missing or unreadable one is an error of the scenario.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Random } from '../random.ts'
import type { GeneratorSpec } from '../scenario/generator-schema.ts'
import type { Scenario } from '../scenario/schema.ts'
import type { GeneratorContext, ModuleFunction } from './generators.ts'
import type { MessageFunction } from './payload.ts'
import type { Value } from './value.ts'

type Row = Readonly<Record<string, Value>>
type Faker = { seed?: (seed: number) => void }
type Generator = (faker: unknown, options: Record<string, unknown>) => unknown

export interface PayloadFiles {
  rows(file: string): readonly Row[]
  document(file: string): unknown
  moduleFunction(file: string, context: GeneratorContext): ModuleFunction
  messageFunction(file: string, context: GeneratorContext): MessageFunction
}

/** @throws Error with the file's name when one is missing or can't be understood. */
export async function loadPayloadFiles(scenario: Scenario, folder: string): Promise<PayloadFiles> {
  const rows = new Map<string, readonly Row[]>()
  const documents = new Map<string, unknown>()
  const modules = new Map<string, Generator>()
  const { rowFiles, documentFiles, moduleFiles } = filesOf(scenario)
  for (const file of rowFiles) rows.set(file, parseRows(readText(folder, file), file))
  for (const file of documentFiles) documents.set(file, parseJson(readText(folder, file), file))
  for (const file of moduleFiles) modules.set(file, await loadModule(resolve(folder, file), file))
  const faker = moduleFiles.size > 0 ? await loadFaker() : undefined
  return {
    rows: (file) => rows.get(file) ?? [],
    document: (file) => documents.get(file),
    moduleFunction(file, context) {
      const call = seededCall(modules.get(file)!, faker, context)
      return (random, moment) => {
        const result = call(random, moment.n)
        return (isMessage(result) ? result.message : result) as Value
      }
    },
    messageFunction(file, context) {
      const call = seededCall(modules.get(file)!, faker, context)
      return (random, moment) => {
        const result = call(random, moment.n)
        if (!isMessage(result)) return { message: asBytes(result) }
        const message = asBytes(result.message)
        return typeof result.topic === 'string' ? { topic: result.topic, message } : { message }
      }
    },
  }
}

function readText(folder: string, file: string): string {
  try {
    return readFileSync(resolve(folder, file), 'utf8')
  } catch (error) {
    throw new Error(`can't read ${file}: ${(error as Error).message}`, { cause: error })
  }
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`${file}: not JSON: ${(error as Error).message}`, { cause: error })
  }
}

/** CSV with a head line, or one JSON object per line; numbers in CSV become numbers. */
export function parseRows(text: string, file: string): Row[] {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  const first = lines[0]
  if (first === undefined) throw new Error(`${file}: empty; expected rows to replay`)
  if (first.trimStart().startsWith('{')) return lines.map((line) => parseJson(line, file) as Row)
  const names = splitCsv(first)
  return lines.slice(1).map((line) => {
    const cells = splitCsv(line)
    return Object.fromEntries(names.map((name, i) => [name, cellValue(cells[i] ?? '')]))
  })
}

/** One line of RFC 4180: quotes double within quotes. Line breaks within quotes are not understood. */
function splitCsv(line: string): string[] {
  return [...`,${line}`.matchAll(/,(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((match) =>
    match[1] === undefined ? (match[2] ?? '').trim() : match[1].replaceAll('""', '"'),
  )
}

function cellValue(cell: string): Value {
  if (cell === '') return null
  const number = Number(cell)
  if (Number.isFinite(number)) return number
  if (cell === 'true' || cell === 'false') return cell === 'true'
  return cell
}

function filesOf(scenario: Scenario): { rowFiles: Set<string>; documentFiles: Set<string>; moduleFiles: Set<string> } {
  const found = { rowFiles: new Set<string>(), documentFiles: new Set<string>(), moduleFiles: new Set<string>() }
  const visit = (node: unknown): void => {
    if (node === null || typeof node !== 'object') return
    const spec = node as GeneratorSpec
    if (spec.type === 'replay') found.rowFiles.add(spec.file)
    if (spec.type === 'module') found.moduleFiles.add(spec.file)
    if (spec.type === 'geo-track' && spec.file !== undefined) found.documentFiles.add(spec.file)
    for (const child of Object.values(node)) visit(child)
  }
  for (const group of Object.values(scenario.groups)) {
    for (const { payload } of group.publications) {
      if (payload.module !== undefined) found.moduleFiles.add(payload.module)
      visit(payload)
    }
  }
  return found
}

/** ES modules and CommonJS alike; `.js` files that say `module.exports` load as CommonJS whatever package they lie in. */
async function loadModule(path: string, file: string): Promise<Generator> {
  let loaded: unknown
  try {
    const text = readFileSync(path, 'utf8')
    if (/\bmodule\.exports\b|\bexports\.\w+\s*=/.test(text)) {
      const module = { exports: {} as unknown }
      const wrapped = new Function('module', 'exports', 'require', '__filename', '__dirname', text)
      wrapped(module, module.exports, createRequire(path), path, resolve(path, '..'))
      loaded = module.exports
    } else {
      loaded = await import(pathToFileURL(path).href)
    }
  } catch (error) {
    throw new Error(`can't load the module ${file}: ${(error as Error).message}`, { cause: error })
  }
  const exported = loaded as { generator?: unknown; default?: unknown }
  const inner = exported.default as { generator?: unknown } | undefined
  const generator = exported.generator ?? inner?.generator ?? exported.default ?? loaded
  if (typeof generator !== 'function') {
    throw new Error(`${file}: expected it to export a function generator(faker, options)`)
  }
  return generator as Generator
}

/** The optional peer; a module that needs it and lacks it is told so at its first use. */
async function loadFaker(): Promise<unknown> {
  const name = '@faker-js/faker'
  try {
    const { faker } = (await import(name)) as { faker: Faker }
    return faker
  } catch {
    return new Proxy(
      {},
      {
        get(_, property) {
          // A promise that resolves to this looks for `then`.
          if (property === 'then' || typeof property === 'symbol') return undefined
          throw new Error(`the module uses faker.${property}: run npm install --no-save @faker-js/faker`)
        },
      },
    )
  }
}

/**
 * Calls the module with `Math.random` and faker drawing from the device's stream, so that a module written for MQTTX,
 * unchanged, gives the same values for the same seed. The call is synchronous: nobody else sees the changed function.
 */
function seededCall(
  generator: Generator,
  faker: unknown,
  context: GeneratorContext,
): (random: Random, n: number) => unknown {
  const { clientId, username = '', index } = context.variables
  const options = { clientId, username, index: Number(index), count: 1 }
  return (random, n) => {
    const seed =
      (faker as Faker | undefined) instanceof Object && 'seed' in (faker as object) ? (faker as Faker).seed : undefined
    seed?.call(faker, random.uint32())
    const original = Math.random
    Math.random = () => random.next()
    try {
      return generator(faker, { ...options, n })
    } finally {
      Math.random = original
    }
  }
}

function isMessage(result: unknown): result is { topic?: unknown; message: unknown } {
  return result !== null && typeof result === 'object' && 'message' in result
}

function asBytes(message: unknown): Uint8Array {
  if (message instanceof Uint8Array) return message
  return Buffer.from(typeof message === 'string' ? message : (JSON.stringify(message) ?? ''), 'utf8')
}
