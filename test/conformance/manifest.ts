/*
 * What the manifest says, and what the test files say, in comparable form.
 *
 * `manifest.json` lists each normative statement of a version under its id; one without a reason beside it is tested. Which
 * tests do that is not written there: it is found by reading the calls of `conformance` in the test files, not by running
 * them, so that one broken file cannot hide its statements.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

/** A statement that the gateway keeps, unless it binds someone else. */
export interface Entry {
  statement: string
  /** Whom it binds instead, or what makes it void here. */
  notApplicable?: string
}

/** Version, then statement id. */
export type Manifest = Record<string, Record<string, Entry>>

export interface RegisteredTest {
  version: string
  ids: string[]
  title: string
  /** Path below test/conformance. */
  file: string
  line: number
}

export interface Scan {
  tests: RegisteredTest[]
  /** Calls that cannot be read, as `file:line: why`. */
  unreadable: string[]
}

const folder = import.meta.dirname
const manifestPath = join(folder, 'manifest.json')

/** A literal version, a literal list of ids and a literal title; a template keeps its placeholders in the title. */
const readableCall = /^conformance\(\s*'([^']+)',\s*\[([^\]]*)\],\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`)\s*,/

export function readManifest(): Manifest {
  return JSON.parse(readFileSync(manifestPath, 'utf8')) as Manifest
}

/** How the manifest names a test: its file and its title. */
export function nameOf(test: RegisteredTest): string {
  return `${test.file}: ${test.title}`
}

export function scanTestFiles(): Scan {
  const scan: Scan = { tests: [], unreadable: [] }
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts') && entry.name !== 'manifest.test.ts')
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  for (const path of paths) scanSource(relative(folder, path), readFileSync(path, 'utf8'), scan)
  return scan
}

/** Adds the calls of `conformance` in one source text to the scan. */
export function scanSource(file: string, source: string, scan: Scan): void {
  const callStart = /^[ \t]*conformance\(/gm
  for (const start of source.matchAll(callStart)) {
    const line = source.slice(0, start.index).split('\n').length
    const call = readableCall.exec(source.slice(start.index).trimStart())
    const list = call?.[2]?.trim().replace(/,$/, '') ?? ''
    const ids = list === '' ? [] : list.split(',').map((item) => /^'(MQTT-\d+\.\d+\.\d+-\d+)'$/.exec(item.trim())?.[1])
    if (call === null || ids.includes(undefined)) {
      scan.unreadable.push(`${file}:${line}: version, ids and title must be literals in this order`)
      continue
    }
    const title = call[3]!.slice(1, -1).replaceAll(/\\(.)/g, '$1')
    scan.tests.push({ version: call[1]!, ids: ids as string[], title, file, line })
  }
}

/** Statement ids in the order of their chapters: MQTT-3.2.0-1 comes before MQTT-3.10.1-1. */
export function compareIds(a: string, b: string): number {
  const [x, y] = [a, b].map((id) => id.match(/\d+/g)!.map(Number))
  for (let i = 0; i < Math.max(x!.length, y!.length); i++) {
    const difference = (x![i] ?? 0) - (y![i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
