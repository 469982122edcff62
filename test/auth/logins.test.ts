/** Logins on a clock of the test's own. */
import { expect, test } from 'vitest'
import { defaultLoginLimits, Logins } from '../../src/auth/logins.ts'

test('a login is found by its cookie until it is closed', () => {
  const logins = new Logins(() => 0)
  const { cookie, csrfToken } = logins.open('token')
  expect(logins.find(cookie)).toMatchObject({ token: 'token', csrfToken })
  expect(logins.find(csrfToken)).toBeUndefined()
  logins.close(cookie)
  expect(logins.find(cookie)).toBeUndefined()
})

test('a login lasts as long as it is used, and half a day longer', () => {
  let now = 0
  const logins = new Logins(() => now)
  const { cookie } = logins.open('token')
  for (let i = 0; i < 4; i++) {
    now += defaultLoginLimits.idleMsMax
    expect(logins.find(cookie)).toBeDefined()
  }
  now += defaultLoginLimits.idleMsMax + 1
  expect(logins.find(cookie)).toBeUndefined()
  expect(logins.size).toBe(0)
})

test('of too many, the one that was not used for longest gives way', () => {
  const logins = new Logins(() => 0, { ...defaultLoginLimits, loginsMax: 2 })
  const [first, second] = [logins.open('1'), logins.open('2')]
  logins.find(first.cookie)
  logins.open('3')
  expect(logins.find(second.cookie)).toBeUndefined()
  expect(logins.find(first.cookie)).toBeDefined()
})

test('secrets of any length are compared', () => {
  const logins = new Logins(() => 0)
  expect(logins.isSame('a', 'a')).toBe(true)
  for (const given of ['', 'b', 'aa', 'x'.repeat(10_000)]) expect(logins.isSame(given, 'a')).toBe(false)
})
