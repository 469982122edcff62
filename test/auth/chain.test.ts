/** The steps that clients pass: whoever doesn't get a clear yes stays out. */
import { describe, expect, it } from 'vitest'
import { AuthenticationChain } from '../../src/auth/chain.ts'
import type { ChainStep, Credential, StepAnswer } from '../../src/auth/credential.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const yes = (name: string): StepAnswer => ({ type: 'yes', identity: { name } })
const no: StepAnswer = { type: 'no', reasonCode: 0x86, reason: 'wrong_password' }
const notMine: StepAnswer = { type: 'not-mine' }

function step(name: string, answer: () => StepAnswer | Promise<StepAnswer>): ChainStep & { asked: number } {
  const made = {
    name,
    asked: 0,
    check: () => {
      made.asked++
      return answer()
    },
  }
  return made
}

function chainOf(steps: ChainStep[], { allowAnonymous = false, stepTimeoutMs = 1000 } = {}) {
  const errors: [string, unknown][] = []
  const onError = (name: string, error: unknown) => errors.push([name, error])
  const chain = new AuthenticationChain(steps, { allowAnonymous, stepTimeoutMs, onError })
  const check = (credential: Partial<Credential> = {}) =>
    chain.check({
      clientId: 'c',
      username: undefined,
      password: undefined,
      version: 5,
      remoteAddress: '192.0.2.1:1',
      ...credential,
    })
  return { check, errors }
}

const withPassword = { username: 'alice', password: bytes('secret') }

describe('a chain', () => {
  it('takes the first yes or no, at once where it can', async () => {
    const last = step('last', () => yes('last'))
    const { check } = chainOf([step('first', () => notMine), step('second', () => yes('alice')), last])
    expect(check(withPassword)).toEqual({ type: 'yes', identity: { name: 'alice' }, step: 'second' })
    expect(last.asked).toBe(0)
    const refusing = chainOf([step('first', async () => notMine), step('second', async () => no), last])
    expect(await refusing.check(withPassword)).toEqual({ ...no, step: 'second' })
    expect(last.asked).toBe(0)
  })

  it('refuses at its end what no step knows, with what 5.0 calls a bad user name or password', () => {
    const { check } = chainOf([step('one', () => notMine)], { allowAnonymous: true })
    const refused = { type: 'no', reasonCode: 0x86, reason: 'not_accepted', step: '' }
    expect(check(withPassword)).toEqual(refused)
    expect(check({ username: 'alice' })).toEqual(refused)
    expect(check({ password: bytes('x') })).toEqual(refused)
    expect(check({ certificate: { cn: 'x' } })).toEqual(refused)
  })

  it('lets a client be anonymous that brings nothing at all, and only where that is allowed', () => {
    expect(chainOf([step('one', () => notMine)], { allowAnonymous: true }).check()).toEqual({ type: 'anonymous' })
    expect(chainOf([step('one', () => notMine)]).check()).toMatchObject({ type: 'no', reasonCode: 0x87 })
  })

  it.each<[string, () => StepAnswer | Promise<StepAnswer>]>([
    [
      'throws',
      () => {
        throw new Error('broken')
      },
    ],
    ['rejects', () => Promise.reject(new Error('broken'))],
    ['never answers', () => new Promise(() => {})],
  ])('takes a step that %s for a no with 0x88, whatever comes after it', async (_how, answer) => {
    const after = step('after', () => yes('alice'))
    const { check, errors } = chainOf([step('bad', answer), after], { allowAnonymous: true, stepTimeoutMs: 5 })
    expect(await check(withPassword)).toEqual({ type: 'no', reasonCode: 0x88, reason: 'error', step: 'bad' })
    expect(await check()).toMatchObject({ type: 'no', reasonCode: 0x88 })
    expect(after.asked).toBe(0)
    expect(errors.map(([name]) => name)).toEqual(['bad', 'bad'])
  })

  it('asks nobody about a name that is too long', () => {
    const one = step('one', () => yes('x'))
    expect(chainOf([one]).check({ username: 'x'.repeat(60_000) })).toMatchObject({ reason: 'credential_too_long' })
    expect(one.asked).toBe(0)
  })
})
