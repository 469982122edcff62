import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/config/config-error.ts'
import { loadConfig } from '../../src/config/load.ts'
import { configJsonSchema, parseGatewayOptions } from '../../src/config/schema.ts'
import { isSecret, withoutSecrets } from '../../src/config/secrets.ts'

const folder = mkdtempSync(join(tmpdir(), 'mqtide-secrets-'))
afterAll(() => rmSync(folder, { recursive: true }))
const planted = 'a-planted-secret-of-thirty-two-bytes'
const at = (name: string): string => join(folder, name)
const written = (name: string, text: string): string => {
  writeFileSync(at(name), text)
  return at(name)
}
const hook = { url: 'http://127.0.0.1/' }

function faultOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message
  }
  throw new Error('no fault')
}

describe('a secret', () => {
  test('is shown as stars wherever it stands', () => {
    const own = { jwt: { secret: planted }, http: { ...hook, headers: { authorization: planted } } }
    const config = parseGatewayOptions({
      authentication: { chain: [{ jwt: { secret: planted } }] },
      listeners: [{ kind: 'tcp', port: 1, authentication: own }],
    })
    const text = JSON.stringify(withoutSecrets(config))
    expect(text).not.toContain(planted)
    expect(text.match(/"\*\*\*"/g)).toHaveLength(3)
  })

  test('in the query of an address is shown as stars too, the rest of it is not', () => {
    const http = { url: `http://127.0.0.1/ask?key=${planted}`, superuserUrl: `http://127.0.0.1/super?${planted}#x` }
    const config = parseGatewayOptions({
      authentication: { http, jwt: { jwksUrl: `https://id.example/keys?key=${planted}` } },
    })
    const text = JSON.stringify(withoutSecrets(config))
    expect(text).not.toContain(planted)
    for (const kept of ['/ask?***"', '/super?***"', 'https://id.example/keys?***"']) expect(text).toContain(kept)
  })

  test.each([
    ['of the wrong kind', { jwt: { secret: [planted] } }],
    ['too long', { jwt: { secret: planted.repeat(1000) } }],
    ['in the place of headers', { http: { ...hook, headers: planted } }],
    ['with a line break in a header', { http: { ...hook, headers: { 'x-key': `a\n${planted}` } } }],
    ['in an address', { http: { url: `http://user:${planted}@127.0.0.1/` } }],
    ['in an address of keys', { jwt: { jwksUrl: `https://${planted}@127.0.0.1/` } }],
  ])('%s is not in the fault that is told', (_name, authentication) => {
    const fault = faultOf(() => parseGatewayOptions({ authentication } as object))
    expect(fault).toMatch(/^authentication\./)
    expect(fault).not.toContain(planted)
  })

  test('is taken from the file that a variable names, and from the one that an option names', () => {
    const file = written('mqtide.yaml', 'authentication: { http: { url: "http://127.0.0.1/", headersFile: more } }\n')
    const key = written('key', `${planted}\n`)
    const { config, warnings } = loadConfig({
      file,
      environment: {
        MQTIDE_AUTHENTICATION__HTTP__HEADERS__authorization_FILE: key,
        MQTIDE_AUTHENTICATION__JWT__SECRET_FILE: key,
      },
    })
    expect(warnings).toEqual([])
    expect(config.authentication?.http).toMatchObject({ headers: { authorization: planted }, headersFile: at('more') })
    expect(config.authentication?.jwt).toMatchObject({ secretFile: key })
  })

  test('whose file is not there is a fault of its variable', () => {
    const environment = { MQTIDE_AUTHENTICATION__HTTP__HEADERS__authorization_FILE: at('missing') }
    expect(faultOf(() => loadConfig({ environment }))).toMatch(/^MQTIDE_\S+_FILE: .*can't be read: ENOENT/)
  })

  test('has a name by which it is known as one', () => {
    const names: string[] = []
    const walk = (node: Record<string, unknown>, path: readonly string[]): void => {
      for (const [name, below] of Object.entries((node['properties'] ?? {}) as Record<string, object>)) {
        if (/secret|token|pass(word|phrase)|key|credential/i.test(name) && !isSecret([...path, name])) names.push(name)
        walk(below as Record<string, unknown>, [...path, name])
      }
      for (const below of [node['items'], ...((node['anyOf'] ?? []) as object[])]) {
        if (below !== undefined) walk(below as Record<string, unknown>, path)
      }
    }
    walk(configJsonSchema(), [])
    // What names a file or says where a token stands; anything new has to be a secret, or to be added here.
    const known = ['passwordFile', 'secretFile', 'publicKeyFile', 'tokenIn', 'passphraseFile', 'key', 'rememberSeconds']
    expect([...new Set(names)].filter((name) => !known.includes(name))).toEqual([])
  })
})
