/** What the API says of a bridge. */
import { z } from '@hono/zod-openapi'
import type { BridgeView } from '../bridges/view.ts'

const count = () => z.number().int().min(0)
const timeOrNull = (text: string) => z.iso.datetime().nullable().describe(text)
const byReason = (text: string) => z.record(z.string(), count()).describe(text)

export const bridgeSchema = z
  .object({
    namespace: z.string(),
    name: z.string(),
    source: z.enum(['configuration', 'api']).describe('Who made it.'),
    url: z.string().describe('Without what stands behind a question mark.'),
    protocolVersion: z.number().int().describe('4: 3.1.1, 5: 5.0.'),
    clientId: z.string().describe('At the other broker.'),
    connections: count(),
    state: z
      .enum(['connecting', 'connected', 'waiting', 'refused', 'stopped'])
      .describe('waiting: for the next attempt. refused: it would be a bridge to this gateway itself.'),
    connectedAt: timeOrNull('Since when it is connected.'),
    nextAttemptAt: timeOrNull('Of one that waits.'),
    attempts: count().describe('That failed, one after the other.'),
    lastFailure: z
      .object({ reason: z.string(), text: z.string(), at: z.iso.datetime() })
      .nullable()
      .describe('The latest, also of one that is connected again.'),
    waiting: count().describe('Messages that were not sent to the other broker yet.'),
    waitingBytes: count(),
    inflight: count().describe('Sent and not acknowledged.'),
    dropped: count().describe('Lost to the limits of what may wait, or expired.'),
    connects: count(),
    sent: count().describe('PUBLISH packets, those sent again included.'),
    received: count(),
    skippedOut: byReason('Messages that did not go out, by reason.'),
    skippedIn: byReason('Messages that did not come in, by reason.'),
    refused: byReason('Messages that the other broker refused, by its reason code.'),
    failures: byReason('Connections that ended or were not made, by reason.'),
  })
  .openapi('Bridge')

export const bridgeDetailsSchema = bridgeSchema
  .extend({
    topics: z.array(
      z.object({
        filter: z.string(),
        direction: z.enum(['in', 'out', 'both']),
        qos: z.number().int(),
        localPrefix: z.string(),
        remotePrefix: z.string(),
        except: z.array(z.string()),
        retain: z.boolean(),
        retainHandling: z.number().int(),
      }),
    ),
  })
  .openapi('BridgeDetails')

const timeText = (time: number): string => new Date(time).toISOString()

export function bridgeBody(view: BridgeView) {
  const { topics: _, connectedAt, nextAttemptAt, lastFailure, ...others } = view
  return {
    ...others,
    connectedAt: connectedAt === null ? null : timeText(connectedAt),
    nextAttemptAt: nextAttemptAt === null ? null : timeText(nextAttemptAt),
    lastFailure: lastFailure && { ...lastFailure, at: timeText(lastFailure.at) },
  }
}

export function bridgeDetailsBody(view: BridgeView) {
  return { ...bridgeBody(view), topics: view.topics.map((topic) => ({ ...topic, except: [...topic.except] })) }
}
