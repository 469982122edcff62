/*
 * The manifest and the tests say the same: every id a test carries is a statement, and every statement has a test or a
 * reason why none is due.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { compareIds, nameOf, readManifest, type Scan, scanSource, scanTestFiles } from './manifest.ts'

/** Numbered statements in Appendix B of each specification (3.1.1 with Errata 01; 5.0 of 7 March 2019). */
const statementTotals: Record<string, number> = { '3.1.1': 141, '5.0': 251 }

const manifest = readManifest()
const { tests, unreadable } = scanTestFiles()
const versions = Object.keys(manifest)
const entries = versions.flatMap((version) =>
  Object.entries(manifest[version] ?? {}).map(([id, entry]) => ({ version, id, entry })),
)

describe('the conformance manifest', () => {
  test('can read every call of conformance in the test files', () => {
    expect(unreadable).toEqual([])
    expect(tests.length).toBeGreaterThan(0)
  })

  test('knows the version and every id that a test carries', () => {
    const unknown = tests.flatMap((test) =>
      test.ids
        .filter((id) => manifest[test.version]?.[id] === undefined)
        .map((id) => `${test.file}:${test.line}: ${id}`),
    )
    const versionless = tests.filter(({ version }) => !['3.1', '3.1.1', '5.0'].includes(version)).map(nameOf)
    expect([...unknown, ...versionless]).toEqual([])
  })

  test('finds no title twice in one file and no id twice in one test', () => {
    const names = tests.map(nameOf)
    const twice = names.filter((name, i) => names.indexOf(name) !== i)
    const repeated = tests.filter(({ ids }) => new Set(ids).size !== ids.length).map(nameOf)
    expect([...twice, ...repeated]).toEqual([])
  })

  test('has a test for every statement that binds a server', () => {
    const ids = new Set(tests.flatMap((test) => test.ids.map((id) => `${test.version} ${id}`)))
    const open = entries.filter(
      ({ version, id, entry }) => entry.notApplicable === undefined && !ids.has(`${version} ${id}`),
    )
    expect(open.map(({ version, id }) => `${version} ${id}`)).toEqual([])
  })

  test('gives a reason only where no test contradicts it', () => {
    const ids = new Set(tests.flatMap((test) => test.ids.map((id) => `${test.version} ${id}`)))
    const tested = entries.filter(
      ({ version, id, entry }) => entry.notApplicable !== undefined && ids.has(`${version} ${id}`),
    )
    expect(tested.map(({ version, id }) => `${version} ${id}`)).toEqual([])
  })

  test('gives each statement words of its own, and each reason as many', () => {
    const faulty = entries.filter(({ entry: { statement, notApplicable } }) => {
      return statement.length < 20 || (notApplicable !== undefined && notApplicable.length < 20)
    })
    expect(faulty.map(({ version, id }) => `${version} ${id}`)).toEqual([])
  })

  test('holds every version to a total', () => {
    expect(versions.toSorted()).toEqual(Object.keys(statementTotals).toSorted())
  })

  test.each(Object.entries(statementTotals))('lists the statements of %s once, in order, all %i', (version, total) => {
    const ids = Object.keys(manifest[version] ?? {})
    expect(ids).toEqual(ids.toSorted(compareIds))
    expect(ids).toHaveLength(total)
    // Object keys are unique once parsed; a doubled one shows only in the text.
    const text = readFileSync(join(import.meta.dirname, 'manifest.json'), 'utf8')
    const written = versions.flatMap((one) => Object.keys(manifest[one] ?? {})).length
    expect(text.match(/^ {4}"MQTT-\d+\.\d+\.\d+-\d+": /gm)).toHaveLength(written)
  })
})

describe('the reading of test files', () => {
  function read(source: string): Scan {
    const scan: Scan = { tests: [], unreadable: [] }
    scanSource('x.test.ts', source, scan)
    return scan
  }

  test('takes version, ids, title and line from a call over several lines', () => {
    const source =
      "\nconformance(\n  '5.0',\n  [\n    'MQTT-1.5.4-1',\n    'MQTT-1.5.4-2',\n  ],\n  'it\\'s so',\n  async () => {},\n)"
    expect(read(source).tests).toEqual([
      { version: '5.0', ids: ['MQTT-1.5.4-1', 'MQTT-1.5.4-2'], title: "it's so", file: 'x.test.ts', line: 2 },
    ])
  })

  test('reports a call whose ids or title are computed', () => {
    expect(read("conformance('5.0', ids, 'title', run)").unreadable).toHaveLength(1)
    expect(read("conformance('5.0', [id], 'title', run)").unreadable).toHaveLength(1)
    expect(read("conformance('5.0', ['MQTT-1.5.4-1'], title, run)").unreadable).toHaveLength(1)
  })
})
