/** A program's grant behind its guard is asked what it would be asked without it. */
import { expect, it } from 'vitest'
import { guardedGrant } from '../../src/auth/guarded-grant.ts'
import { mayConsume } from '../../src/core/ports/authority.ts'

it('a program that says who may read a stream is told the group too', () => {
  const asked: unknown[] = []
  const grant = guardedGrant(
    {
      mayPublish: () => true,
      maySubscribe: () => true,
      mayReceive: () => true,
      mayConsume: (address: string, filter: string | null, group: string | null) => {
        asked.push([address, filter, group])
        return group === null
      },
    },
    () => {},
  )
  expect(mayConsume(grant, '$stream/meters', 'meters/#', 'billing')).toBe(false)
  expect(mayConsume(grant, '$stream/meters', 'meters/#', null)).toBe(true)
  expect(asked).toEqual([
    ['$stream/meters', 'meters/#', 'billing'],
    ['$stream/meters', 'meters/#', null],
  ])
})
