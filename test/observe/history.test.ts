/** What the main figures were: every second for ten minutes, every minute for a day. */
import { expect, it } from 'vitest'
import { type History, MetricsHistory, minuteSamplesMax, secondSamplesMax } from '../../src/observe/history.ts'
import { startApi } from '../api/api.ts'
import { eventually } from '../e2e/eventually.ts'

it('keeps the last ten minutes by the second and the last day by the minute, oldest first', () => {
  let value = 0
  const history = new MetricsHistory(() => ({ value, twice: 2 * value }))
  expect(history.read('1s')).toEqual({ times: [], series: { value: [], twice: [] } })
  const seconds = 60 * (minuteSamplesMax + 10)
  for (value = 0; value < seconds; value++) history.sample(1000 * value)
  const bySecond = history.read('1s')
  expect(bySecond.times).toHaveLength(secondSamplesMax)
  expect(bySecond.times.at(-1)).toBe(1000 * (seconds - 1))
  expect(bySecond.series['value']).toEqual(
    Array.from({ length: secondSamplesMax }, (_, i) => seconds - secondSamplesMax + i),
  )
  const byMinute = history.read('1m')
  expect(byMinute.times).toHaveLength(minuteSamplesMax)
  expect(byMinute.series['twice']!.slice(0, 2)).toEqual([2 * 60 * 10, 2 * 60 * 11])
  expect(byMinute.times.at(-1)).toBe(1000 * (seconds - 60))
})

it('is sampled by a gateway from its start on', async () => {
  const api = await startApi()
  await api.gateway.publish({ topic: 'a' })
  await eventually(async () => (await api.call<History>('/metrics/history')).body.times.length).toBeGreaterThan(1)
  const { body } = await api.call<History>('/metrics/history?step=1m')
  expect(body.times).toHaveLength(1)
  expect(Object.keys(body.series)).toContain('mqtt_messages_received_total')
  const names = Object.keys(api.gateway.metrics()).map((name) => name.replace(/\{.*/, ''))
  const own = Object.keys(body.series).filter((name) => !/^(process|storage)_/.test(name))
  for (const name of own) expect(names).toContain(name.replace(/\{.*/, ''))
})

it('begins with the first sample', () => {
  const history = new MetricsHistory(() => ({ one: 1 }))
  history.sample(5)
  expect(history.read('1m')).toEqual({ times: [5], series: { one: [1] } })
})
