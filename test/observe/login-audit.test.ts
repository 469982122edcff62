/** Refused logins in the log: few enough to be read, and without anything of a credential. */
import { expect, it } from 'vitest'
import type { Log } from '../../src/observe/log.ts'
import { LoginAudit } from '../../src/observe/login-audit.ts'

function auditWith() {
  const lines: Record<string, unknown>[] = []
  const world = { now: 0 }
  const log = { warn: (fields: Record<string, unknown>) => lines.push(fields) } as unknown as Pick<Log, 'warn'>
  return { audit: new LoginAudit(log, () => world.now), lines, world }
}

const login = { clientId: 'c1', username: 'alice', remoteAddress: '192.0.2.1:1' }

it('a refused login is written with who, where and why', () => {
  const { audit, lines } = auditWith()
  audit.refused('wrong_password', login, 'passwordFile')
  expect(lines).toEqual([
    {
      audit: true,
      reason: 'wrong_password',
      step: 'passwordFile',
      clientId: 'c1',
      username: 'alice',
      address: '192.0.2.1:1',
    },
  ])
})

it('of a storm ten lines a second are written, and the next one says how many were not', () => {
  const { audit, lines, world } = auditWith()
  for (let index = 0; index < 25; index++) audit.refused('busy', login, 'passwordFile')
  expect(lines).toHaveLength(10)
  world.now = 1000
  audit.refused('busy', login, 'passwordFile')
  expect(lines.at(-1)).toMatchObject({ notShown: 15 })
})

it('long names are cut, and a token in the place of the user name is not shown', () => {
  const { audit, lines } = auditWith()
  audit.refused('x', { ...login, clientId: 'c'.repeat(60_000), username: 'u'.repeat(60_000) }, '')
  audit.refused('x', { ...login, username: `${'a'.repeat(30)}.${'b'.repeat(30)}.${'c'.repeat(30)}` }, '')
  expect(JSON.stringify(lines[0]).length).toBeLessThan(600)
  expect(lines[1]).toMatchObject({ username: '(token)' })
})
