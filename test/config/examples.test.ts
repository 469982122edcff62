import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { queuesOf } from '../../src/config/queues.ts'

it('the configuration of the example of tasks has a queue for each task, and says nothing that is no option', () => {
  const file = fileURLToPath(new URL('../../examples/tasks/mqtide.yaml', import.meta.url))
  const { config } = loadConfig({ file, environment: {} })
  expect(queuesOf(config).map(({ name }) => name)).toEqual(['resize', 'report'])
  expect(config.schedules.map(({ topic }) => topic)).toEqual(['$queue/report'])
})
