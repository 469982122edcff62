/** What `mqtide check-config` finds beyond single values: in the files that are named, at this machine, between two options. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { runCommand } from '../e2e/program.ts'
import { TestAuthority } from '../listeners/openssl.ts'
import { describePeer } from '../peers.ts'

const folder = mkdtempSync(join(tmpdir(), 'mqtide-check-config-'))
afterAll(() => rmSync(folder, { recursive: true }))
const file = join(folder, 'mqtide.yaml')

async function check(text: string): Promise<{ exitCode: number | null; stderr: string }> {
  writeFileSync(file, text)
  const { exitCode, stderr } = await runCommand(['check-config', file])
  return { exitCode, stderr: stderr.replaceAll(`${folder}/`, '') }
}

describe('check-config refuses', () => {
  test.each([
    ['the port of a default listener', 'mqttPort: 8083', "mqtide.yaml:1:1: mqttPort: 8083 is httpPort's too"],
    [
      'two listeners at one address',
      'listeners:\n  - { kind: tcp, port: 1, host: 0.0.0.0 }\n  - { kind: ws, port: 1, host: 127.0.0.1 }\nallowAnonymous: true',
      "mqtide.yaml:3:17: listeners.1.port: 1 is listeners.0.port's too",
    ],
    [
      'two listeners at one path',
      'listeners:\n  - { kind: unix, path: /run/a, name: a }\n  - { kind: unix, path: /run/a, name: b }',
      "mqtide.yaml:3:19: listeners.1.path: /run/a is a's too",
    ],
    [
      'an origin that no browser sends',
      'allowedOrigins: [panel.example]',
      'mqtide.yaml:1:18: allowedOrigins.0: no browser sends "panel.example" as an origin; did you mean https://panel.example?',
    ],
    [
      'a certificate that is not there',
      'listeners: [{ kind: tls, port: 1, cert: no.crt, key: no.key }]',
      "mqtide.yaml:1:13: listeners.0: no.crt: can't be read (ENOENT)",
    ],
    [
      'two queues of one name',
      'queues:\n  a: { filter: x }\n  a: { filter: y }',
      'mqtide.yaml:3:3: Map keys must be unique',
    ],
    [
      'a queue with a slash in its name',
      'queues:\n  a/b: {}',
      'mqtide.yaml:2:3: queues.a/b: expected queues by their names, of letters, digits, -, . and _',
    ],
  ])('%s', async (_name, text, fault) => {
    const { exitCode, stderr } = await check(text)
    expect(exitCode).toBe(2)
    expect(stderr).toContain(fault)
  })
})

describe('check-config warns, and says ok, of', () => {
  const warned = async (text: string, warning: string): Promise<void> => {
    const { exitCode, stderr } = await check(text)
    expect(stderr).toContain(`mqtide: warning: mqtide.yaml:${warning}`)
    expect(exitCode).toBe(0)
  }

  test('a listener for everybody without authentication', () =>
    warned(
      'allowAnonymous: true\nlisteners:\n  - { kind: tcp, port: 1, host: 0.0.0.0 }\n',
      '3:27: listeners.0.host: clients from other machines may connect to 0.0.0.0 without credentials',
    ))

  test('users of a namespace where nobody is asked who he is', () =>
    warned('namespaces: { lab: { users: [alice] } }\n', '1:22: namespaces.lab.users: nobody is asked who he is'))

  test('a queue that drops what fails, and one whose consumers may keep messages for ever', async () => {
    await warned(
      'queues:\n  a: { filter: x, deadLetter: false }\n  b: { deadLetter: false }\n',
      '2:19: queues.a.deadLetter: messages that fail 10 times, or are rejected, are dropped',
    )
    await warned(
      'namespaces: { lab: { queues: { a: { settle: explicit, ackTimeoutMs: 0 } } } }\n',
      '1:55: namespaces.lab.queues.a.ackTimeoutMs: a consumer that forgets a message keeps it',
    )
  })

  test('limits above what this process may open, where somebody said them', async () => {
    await warned(
      'limits:\n  connectionsMax: 10000000\n',
      '2:3: limits.connectionsMax: the limits allow more connections than this process may open files',
    )
    expect(await check('limits: { receiveMaximum: 7 }')).toEqual({ exitCode: 0, stderr: '' })
  })

  test('users that everybody on this machine may read', async () => {
    writeFileSync(join(folder, 'users'), '')
    chmodSync(join(folder, 'users'), 0o644)
    const text = 'authentication:\n  passwordFile: users\n'
    await warned(
      text,
      '2:3: authentication.passwordFile: users: every user of this machine may read it; chmod o= users',
    )
    chmodSync(join(folder, 'users'), 0o640)
    expect(await check(text)).toEqual({ exitCode: 0, stderr: '' })
  })
})

describePeer('check-config looks into certificates:', ['openssl'], ({ openssl }) => {
  const authority = openssl === undefined ? undefined! : new TestAuthority(openssl)
  afterAll(() => authority[Symbol.dispose]())
  const listener = ({ cert, key }: { cert: string; key: string }) =>
    `listeners:\n  - { kind: tls, port: 1, cert: ${cert}, key: ${key} }\n`

  test('one that expires within 14 days, or has expired, is a warning', async () => {
    const soon = authority.issue({ commonName: 'a', days: 13 }, 'soon')
    const late = authority.issue({ commonName: 'a', days: 16 }, 'late')
    const old = authority.issue({ commonName: 'a', days: -1 }, 'old')
    for (const { key } of [soon, late, old]) chmodSync(key, 0o600)
    expect((await check(listener(soon))).stderr).toMatch(
      /^mqtide: warning: mqtide\.yaml:2:27: listeners\.0\.cert: \S*soon\.crt: the certificate expires at 20\d\d-[^ ]+Z\n$/,
    )
    expect(await check(listener(late))).toEqual({ exitCode: 0, stderr: '' })
    expect(await check(listener(old))).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('has expired') })
  })

  test('one that does not belong to its key is a fault, and a key that everybody may read a warning', async () => {
    const one = authority.issue({ commonName: 'a', days: 20 }, 'one')
    const other = authority.issue({ commonName: 'b', days: 20 }, 'other')
    const refused = await check(listener({ cert: one.cert, key: other.key }))
    expect(refused.exitCode).toBe(2)
    expect(refused.stderr).toMatch(/mqtide\.yaml:2:5: listeners\.0: \S*other\.key: the key does not belong to/)
    chmodSync(one.key, 0o644)
    expect((await check(listener(one))).stderr).toMatch(/2:\d+: listeners\.0\.key: \S*one\.key: every user/)
  })
})
