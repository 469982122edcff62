/** What an import refuses, line by line, and what it believes. */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { textOf } from '../../src/store/export/line-text.ts'
import { sourceOf } from '../../src/store/export/sources.ts'
import { importInto } from '../../src/store/export/store-import.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import { open } from '../contract/survived.ts'

let folder: string
let dataDir: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-import-'))
  dataDir = join(folder, 'data')
  file = join(folder, 'export.jsonl')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

const imported = () => importInto({ dataDir, file, into: undefined, dryRun: false }, sourceOf({ ownedByUsers: false }))

describe('an import', () => {
  const header = { format: 'mqtide-export', formatVersion: 1, gatewayVersion: '1.0.0' }
  const one = {
    kind: 'session',
    number: 1,
    namespace: 'default',
    clientId: 'a',
    protocol: '5.0',
    expirySeconds: 60,
    expiresAt: null,
    connected: false,
  }
  const entry = {
    kind: 'entry',
    log: 1,
    position: 5,
    qos: 1,
    retain: false,
    message: { topic: 't', payload: 'x', qos: 1, publishedAt: '2026-11-21T00:00:00.000Z', expiresAt: null },
  }
  const end = { kind: 'end' }
  const cases: [title: string, lines: object[], text: string][] = [
    [
      'another format',
      [{ ...header, formatVersion: 2 }],
      'line 1 says format version 2, and this mqtide reads 1; mqtide 1.0.0 wrote it',
    ],
    ['no export', [{ hello: 1 }], 'line 1 is not the first of an export'],
    [
      'a kind of the future',
      [header, { kind: 'rocket' }],
      'line 2 is of a kind that this mqtide does not know: "rocket"',
    ],
    ['a field that is none', [header, { ...one, colour: 1 }], 'line 2 is wrong'],
    ['a wrong value', [header, { ...one, protocol: '6' }], 'line 2 is wrong in protocol'],
    ['a wrong time', [header, { ...one, expiresAt: 'soon' }], 'line 2 is wrong in expiresAt: expected a time'],
    ['a client twice', [header, one, { ...one, number: 2 }], 'line 3 has the client id a a second time'],
    ['a number twice', [header, one, { ...one, clientId: 'b' }], 'line 3 has the number 1 a second time'],
    [
      'a line of nobody',
      [header, { ...entry, log: 9 }],
      'line 2 is of session, queue or stream 9, which did not come before',
    ],
    [
      'a will of nobody',
      [header, { kind: 'sent', session: 3, position: 1 }],
      'line 2 is of session 3, which did not come before',
    ],
    ['positions that go back', [header, one, entry, entry], 'line 4 has position 5, which does not come behind 5'],
    [
      'a body that is not there',
      [header, one, { ...entry, message: 7 }],
      'line 3 names message 7, which did not come before',
    ],
    [
      'a topic that is none',
      [header, one, { ...entry, message: { ...entry.message, topic: 'a/#' } }],
      'line 3 has a topic that is none',
    ],
    [
      'a filter that is none',
      [header, one, { kind: 'subscription', session: 1, filter: 'a#', qos: 0 }],
      'line 3 has a topic filter that is none',
    ],
    [
      'properties that are none',
      [header, one, { ...entry, message: { ...entry.message, propertiesBase64: 'AQ==' } }],
      'line 3 ',
    ],
    ['a line behind the end', [header, end, one], 'line 3 follows the end'],
    ['a lost line', [header, { kind: 'end', lines: 2 }], 'line 2 says that 2 lines stand before it, and 1 do'],
  ]
  it.each(cases)('refuses %s', (_title, lines, text) => {
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    expect(() => imported()).toThrow(text)
    expect(existsSync(join(dataDir, 'mqtide.db'))).toBe(false)
  })

  it('refuses to say whose sessions are, where the lines say it', () => {
    writeFileSync(file, `${textOf(header)}\n${textOf(one)}\n${textOf(end)}\n`)
    const order = { dataDir, file, into: undefined, dryRun: false }
    expect(() => importInto(order, sourceOf({ ownedByUsers: true }))).toThrow('--owners is for mosquitto.db')
    expect(imported().counts.sessions).toBe(1)
  })

  it('takes lines that were changed on purpose, without their checksum', async () => {
    const lines = [textOf(header), JSON.stringify({ ...one, clientId: 'renamed' }), JSON.stringify(end)]
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
    imported()
    const store = new SqliteInlineStore({ dataDir })
    const { sessions } = await open(store)
    await store.close()
    expect(sessions.map(({ clientId }) => clientId)).toEqual(['renamed'])
    expect(statSync(join(dataDir, 'mqtide.db')).mode & 0o777).toBe(0o600)
  })
})
