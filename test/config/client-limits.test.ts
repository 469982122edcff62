/** Which limits a client has by its listener and its user. */
import { describe, expect, test } from 'vitest'
import { clientLimitsOf } from '../../src/config/client-limits.ts'
import { parseGatewayOptions } from '../../src/config/schema.ts'

const limitsOf = clientLimitsOf(
  parseGatewayOptions({
    limits: {
      publishesPerSecondMax: 10,
      publishBytesPerSecondMax: 1000,
      users: [
        { user: ['alice', 'bob'], publishesPerSecondMax: 50, sessionsMax: 3 },
        { user: 'bob', publishesPerSecondMax: 60, subscriptionsMax: 5 },
      ],
    },
    listeners: [
      { name: 'plain', kind: 'tcp', port: 0 },
      { name: 'lab', kind: 'tcp', port: 0, limits: { publishesPerSecondMax: 1 } },
    ],
  }),
)

describe('the limits of a client', () => {
  test('are those of all, then those of its listener, then those of its user, name by name', () => {
    expect(limitsOf('plain', '')).toEqual({ publishesPerSecondMax: 10, publishBytesPerSecondMax: 1000 })
    expect(limitsOf('lab', 'carol')).toEqual({ publishesPerSecondMax: 1, publishBytesPerSecondMax: 1000 })
    expect(limitsOf('lab', 'alice')).toEqual({
      publishesPerSecondMax: 50,
      publishBytesPerSecondMax: 1000,
      sessionsMax: 3,
    })
  })

  test('of a user named twice are the first ones', () => {
    expect(limitsOf('plain', 'bob')).toMatchObject({ publishesPerSecondMax: 50, sessionsMax: 3 })
    expect(limitsOf('plain', 'bob').subscriptionsMax).toBeUndefined()
  })

  test('have nothing of the limits over all clients', () => {
    expect(limitsOf('plain', '')).not.toHaveProperty('sessionsMax')
  })

  test('are checked where they stand', () => {
    expect(() => parseGatewayOptions({ limits: { users: [{ user: 'alice', sesionsMax: 1 } as never] } })).toThrow(
      'limits.users.0.sesionsMax: unknown option; did you mean sessionsMax?',
    )
  })
})
