/** `schedules` in the configuration: what is wrong with one is said with its place. */
import { expect, it } from 'vitest'
import { ConfigError } from '../../src/config/config-error.ts'
import { parseGatewayOptions } from '../../src/config/schema.ts'

const sound = { name: 'a', cron: '*/5 * * * *', topic: 't' }

function faults(...schedules: object[]): string[] {
  try {
    parseGatewayOptions({ schedules: schedules as never })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.issues.map(({ path, message }) => `${path.slice(1).join('.')}: ${message}`)
  }
}

it('a schedule has defaults for all but its name, its times and its topic', () => {
  const { schedules } = parseGatewayOptions({ schedules: [sound] })
  const defaults = { timeZone: 'UTC', payload: '', qos: 1, retain: false, missed: 'skip', namespace: 'default' }
  expect(schedules).toEqual([{ ...sound, ...defaults }])
})

it.each([
  [{ cron: '61 * * * *' }, '0.cron: Invalid value for minute: 61'],
  [{ cron: '* * *' }, '0.cron: expected five fields'],
  [{ cron: '2027-01-01T00:00:00' }, '0.cron: expected five fields'],
  [{ cron: '0 0 30 2 *' }, '0.cron: it never comes'],
  [{ timeZone: 'Mars/Olympus' }, '0.timeZone: Mars/Olympus is no time zone'],
  [{ topic: 'a/#' }, '0.topic: expected a topic'],
  [{ topic: '$SYS/x' }, '0.topic: expected a topic'],
  [{ topic: '$delayed/x/t' }, '0.topic: expected a topic'],
  [{ namespace: 'plant' }, '0.namespace: no namespace is called plant'],
  [{ missed: 'twice' }, '0.missed: expected one of skip, once'],
  [{ name: 'a b' }, '0.name: expected letters'],
])('%j is refused: %s', (given, fault) => {
  expect(faults({ ...sound, ...given })).toEqual([expect.stringContaining(fault)])
})

it('two schedules of one name are refused', () => {
  expect(faults(sound, { ...sound, topic: 'u' })).toEqual(['1.name: another schedule is called a'])
})
