/** Every scenario, in the order of the tables. */
import { connectionScenarios } from './connections.ts'
import { growthScenarios } from './growth.ts'
import { messageScenarios } from './messages.ts'
import { queueScenarios } from './queues.ts'
import type { Scenario } from './scenario.ts'
import { storedScenarios } from './stored.ts'
import { streamScenarios } from './streams.ts'

export const scenarios: readonly Scenario[] = [
  ...messageScenarios,
  ...storedScenarios,
  ...queueScenarios,
  ...streamScenarios,
  ...connectionScenarios,
  ...growthScenarios,
]
