/** `mqtide explain-topic` and what `check-config` says of rules of rewriting, without a gateway. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../e2e/program.ts'

let folder: string
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'mqtide-rewriting-'))))
afterAll(() => rmSync(folder, { recursive: true }))

async function run(config: string, command: string, ...words: string[]): Promise<string> {
  const file = join(folder, 'mqtide.yaml')
  writeFileSync(file, config)
  const { stdout, stderr } = await runCommand([
    command,
    ...words,
    ...(command === 'check-config' ? [file] : ['--config', file]),
  ])
  return stdout.toString() + stderr.toString()
}

const config = `
rewrite:
  - { from: 'temp/{site}/{sensor}', to: 'sites/{site}/{sensor}' }
  - { from: 'old/{rest#}', to: 'temp/{rest#}' }
  - from: 'orders/{shop}'
    to: [{ topic: 'v1/{shop}', weight: 9 }, { topic: 'v2/{shop}' }]
    chooseBy: publisher
namespaces:
  lab: { rewrite: [{ from: 'a', to: 'b' }] }
`

describe('mqtide explain-topic', () => {
  it('shows each rule that is applied and what comes of it', async () => {
    expect(await run(config, 'explain-topic', 'old/7/door')).toBe(
      [
        'old/7/door',
        '  rewrite[1]: old/{rest#} -> temp/{rest#}',
        'temp/7/door',
        '  rewrite[0]: temp/{site}/{sensor} -> sites/{site}/{sensor}',
        'sites/7/door',
        '',
      ].join('\n'),
    )
    expect(await run(config, 'explain-topic', 'orders/7')).toContain(
      'v1/7   (90 %, by publisher)\nv2/7   (10 %, by publisher)\n',
    )
    expect(await run(config, 'explain-topic', 'other')).toBe('other\n  no rule fits: it stays as it is\n')
  })

  it('takes filters, and other namespaces, and says what is neither topic nor filter', async () => {
    expect(await run(config, 'explain-topic', '--subscribe', 'temp/+/door')).toContain('\nsites/+/door\n')
    expect(await run(config, 'explain-topic', '--subscribe', 'orders/7')).toContain('no rule fits')
    expect(await run(config, 'explain-topic', 'a', '--namespace', 'lab')).toContain('\nb\n')
    expect(await run(config, 'explain-topic', 'a', '--namespace', 'none')).toContain('no namespace is called none')
    expect(await run(config, 'explain-topic', 'a/+')).toContain('not a topic name: a/+')
    expect(await run(config, 'explain-topic', '--subscribe', 'a/#/b')).toContain('not a topic filter')
  })
})

describe('mqtide explain', () => {
  it('asks for what comes of a topic, of several for all, and says so', async () => {
    const rules = `${config}
authorization:
  rules:
    - { allow: publish, topic: 'sites/#' }
    - { allow: publish, topic: 'v1/#' }
    - { allow: subscribe, topic: 'sites/+/door' }
`
    const explain = (...words: string[]) => run(rules, 'explain', ...words)
    expect(await explain('--publish', 'temp/7/door')).toMatch(/^allowed\n.*rules\[0\].*\(rewritten to sites\/7\/door\)/)
    expect(await explain('--publish', 'orders/7')).toMatch(/^denied\n.*\(rewritten to v1\/7, v2\/7\)/)
    expect(await explain('--subscribe', 'temp/+/door')).toMatch(/^allowed\n.*rewritten to sites\/\+\/door/)
    expect(await explain('--publish', 'other')).not.toContain('rewritten')
  })
})

describe('check-config', () => {
  it('says what is wrong with a rule, with its place', async () => {
    const said = (rules: string) => run(`rewrite:\n${rules}`, 'check-config')
    expect(await run(config, 'check-config')).not.toMatch(/rewrite/)
    expect(await said("  - { from: 'a/{x#}', to: 'a/b/{x#}' }")).toMatch(/:2:\d+.*makes a loop/s)
    expect(await said("  - { from: 'a/{x}', to: 'b/{y}' }")).toMatch(/\{y\} is not in from/)
    expect(await said("  - { form: 'a/{x}', to: 'b' }")).toMatch(/from/)
    expect(await said('  - { from: a, to: [{ topic: b, weight: 0 }] }')).toMatch(/rewrite/)
  })
})
