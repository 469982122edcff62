/** Which access decides about a client, by the listener that it came by, at the start and after a reload. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadListenerAccess } from '../../src/auth/access-files.ts'
import { ListenerAccess } from '../../src/auth/listener-access.ts'
import { newPasswordHash } from '../../src/auth/password-hash.ts'
import { accessOfListeners } from '../../src/config/access-settings.ts'
import { type GatewayOptions, parseGatewayOptions } from '../../src/config/schema.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-listener-access-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

async function users(name: string, user: string, password: string): Promise<string> {
  const path = join(folder, name)
  writeFileSync(path, `${user}:${await newPasswordHash('sha512', bytes(password))}\n`)
  return path
}

const loaded = (options: GatewayOptions) => loadListenerAccess(accessOfListeners(parseGatewayOptions(options)))

function accessOf(options: GatewayOptions) {
  const access = new ListenerAccess(loaded(options), {
    now: () => 0,
    sleep: async () => {},
    onError: (error) => {
      throw error
    },
    onLogin: () => {},
  })
  const login = (listener: string, username?: string, password?: string) =>
    access.authenticate({
      clientId: 'c',
      username,
      password: password === undefined ? undefined : bytes(password),
      version: 5,
      remoteAddress: '192.0.2.1:1',
      listener,
    })
  return { access, login }
}

const tcp = (name: string, more: object = {}) => ({ name, kind: 'tcp' as const, port: 0, ...more })

describe('listeners with users and rules of their own', () => {
  it('let in whom their own file knows, and the others whom the common one knows', async () => {
    const common = await users('common', 'alice', 'one')
    const own = await users('own', 'bob', 'two')
    const { login } = accessOf({
      authentication: { passwordFile: common },
      listeners: [
        tcp('plain'),
        tcp('lab', { authentication: { passwordFile: own } }),
        tcp('open', { authentication: false }),
      ],
    })
    expect(await login('plain', 'alice', 'one')).toMatchObject({ reasonCode: 0, principal: 'alice' })
    expect(await login('plain', 'bob', 'two')).toMatchObject({ reasonCode: 0x86 })
    expect(await login('lab', 'bob', 'two')).toMatchObject({ reasonCode: 0, principal: 'bob' })
    expect(await login('lab', 'alice', 'one')).toMatchObject({ reasonCode: 0x86 })
    expect(await login('lab')).toMatchObject({ reasonCode: 0x87 })
    expect(await login('open', 'anyone', 'anything')).toMatchObject({ reasonCode: 0, principal: '' })
  })

  it('have the common users with rules of their own, or with none', async () => {
    const passwordFile = await users('common', 'alice', 'one')
    const rules = (topic: string) => ({ rules: [{ allow: 'publish', topic }] })
    const { login } = accessOf({
      authentication: { passwordFile },
      authorization: rules('common/#'),
      listeners: [tcp('plain'), tcp('lab', { authorization: rules('lab/#') }), tcp('free', { authorization: false })],
    })
    const may = async (listener: string) => {
      const { grant } = await login(listener, 'alice', 'one')
      return ['common/1', 'lab/1'].map((topic) => grant?.mayPublish(topic, 0, false) ?? true)
    }
    expect(await may('plain')).toEqual([true, false])
    expect(await may('lab')).toEqual([false, true])
    expect(await may('free')).toEqual([true, true])
  })

  it('let nobody in without credentials because the listeners beside them do', async () => {
    const passwordFile = await users('own', 'bob', 'two')
    const { login } = accessOf({ listeners: [tcp('plain'), tcp('lab', { authentication: { passwordFile } })] })
    expect(await login('plain')).toEqual({ reasonCode: 0, principal: '' })
    expect(await login('lab')).toMatchObject({ reasonCode: 0x87 })
  })

  it('offer SCRAM where they have users', async () => {
    const passwordFile = await users('own', 'bob', 'two')
    const { access } = accessOf({ listeners: [tcp('plain'), tcp('lab', { authentication: { passwordFile } })] })
    const begin = (listener: string) =>
      access.beginExchange('SCRAM-SHA-256', { clientId: 'c', remoteAddress: '192.0.2.1:1', listener })
    expect(begin('plain')).toBeNull()
    expect(begin('lab')).not.toBeNull()
  })

  it('name the rule by their own name when they explain', () => {
    const authorization = { rules: [{ allow: 'publish', topic: 'lab/#' }] }
    const { own } = loaded({ listeners: [tcp('lab', { authorization })] })
    expect(own.get('lab')!.authorization.ruleSet).toMatchObject({
      rules: [{ place: 'listeners.lab.authorization.rules[0]' }],
    })
  })
})

describe('a reload', () => {
  it('ends the clients of users who are gone at the listener whose file they are gone from', async () => {
    const common = await users('common', 'alice', 'one')
    const own = await users('own', 'alice', 'one')
    const options = {
      authentication: { passwordFile: common },
      listeners: [tcp('plain'), tcp('lab', { authentication: { passwordFile: own } })],
    }
    const { access } = accessOf(options)
    await users('own', 'bob', 'two')
    const isGone = access.replace(loaded(options))
    expect(isGone({ listener: 'lab', principal: 'alice' })).toBe(true)
    expect(isGone({ listener: 'plain', principal: 'alice' })).toBe(false)
  })

  it('asks whoever is connected anew where a listener begins or ceases to have users of its own', async () => {
    const passwordFile = await users('own', 'bob', 'two')
    const open = { listeners: [tcp('plain'), tcp('lab')] }
    const closed = { listeners: [tcp('plain'), tcp('lab', { authentication: { passwordFile } })] }
    const { access, login } = accessOf(open)
    const isGone = access.replace(loaded(closed))
    expect(isGone({ listener: 'lab', principal: '' })).toBe(true)
    expect(isGone({ listener: 'plain', principal: '' })).toBe(false)
    expect(await login('lab')).toMatchObject({ reasonCode: 0x87 })
    expect(access.replace(loaded(open))({ listener: 'lab', principal: 'bob' })).toBe(true)
    expect(await login('lab')).toMatchObject({ reasonCode: 0 })
  })

  it('do not lose the clients of a listener that asks nobody, when the others have users', async () => {
    const options = {
      authentication: { passwordFile: await users('common', 'alice', 'one') },
      authorization: { rules: [{ allow: 'all', topic: '#' }] },
      listeners: [tcp('plain'), tcp('open', { authentication: false })],
    } as const satisfies GatewayOptions
    const isGone = accessOf(options).access.replace(loaded(options))
    expect(isGone({ listener: 'open', principal: '' })).toBe(false)
    expect(isGone({ listener: 'plain', principal: '' })).toBe(true)
  })

  it('judge anew who was being judged while it became the common users that count', async () => {
    const common = { authentication: { passwordFile: await users('common', 'alice', 'one') } }
    const own = { authentication: { passwordFile: await users('own', 'bob', 'two') } }
    const { access, login } = accessOf({ ...common, listeners: [tcp('lab', own)] })
    const begun = access.beginExchange('SCRAM-SHA-256', {
      clientId: 'c',
      remoteAddress: '192.0.2.1:1',
      listener: 'lab',
    })!
    expect(await begun.next(bytes('n,,n=bob,r=abc'))).toMatchObject({ type: 'continue' })
    const pending = login('lab', 'bob', 'two')
    access.replace(loaded({ ...common, listeners: [tcp('lab')] }))
    expect(await pending).toMatchObject({ reasonCode: 0x86 })
    expect(await begun.next(bytes('c=biws,r=abc,p=AA=='))).toEqual({ type: 'failure', reasonCode: 0x88 })
  })
})
