/** What OpenTelemetry is told; without it, nothing of it is loaded. */
import { z } from 'zod'
import { spanKinds } from '../telemetry/span-kinds.ts'
import { oneOf } from './fields.ts'

export const telemetrySchema = z.strictObject(
  {
    spans: z
      .array(oneOf(...spanKinds), 'expected a list of connect, publish, deliver and commit')
      .min(1, 'expected at least one of connect, publish, deliver and commit')
      .default([...spanKinds])
      .describe('What becomes a span.'),
  },
  'expected the telemetry options as names and values',
)
