/**
 * A request of the program's: a message that asks for an answer at a topic (MQTT 5.0, section 4.10), and the first answer that comes.
 * The topic is subscribed to before the request leaves, so that no answer is too early.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'

import type { Committer } from './committer.ts'
import type { Engine } from './engine.ts'
import { LocalSubscription, type ReceivedMessage } from './local-subscription.ts'
import { type OwnMessage, type OwnOutcome, publishOwn } from './own-message.ts'

/** Requests that wait for their answers at the same time. */
export const ownRequestsMax = 1000
const correlationBytes = 16

export type RequestOutcome = ReceivedMessage | Exclude<OwnOutcome, 'delivered' | 'duplicate'> | 'late' | 'too-many'

let waiting = 0

export async function requestOwn(
  parts: { engine: Engine; committer: Committer },
  { properties, ...message }: OwnMessage,
  timeoutMs: number,
): Promise<RequestOutcome> {
  if (waiting >= ownRequestsMax) return 'too-many'
  waiting++
  const { engine } = parts
  const correlationData = properties.correlationData ?? randomBytes(correlationBytes)
  // Nobody else knows it.
  const responseTopic = properties.responseTopic ?? `mqtide/response/${randomBytes(correlationBytes).toString('hex')}`
  const answers = engine.call(() => new LocalSubscription(engine, [responseTopic], () => {}, message.namespace))
  const cancel = engine.after(timeoutMs, () => answers.end())
  try {
    const outcome = await publishOwn(parts, {
      ...message,
      properties: { ...properties, responseTopic, correlationData },
    })
    if (outcome !== 'delivered' && outcome !== 'duplicate') return outcome
    for await (const answer of answers) if (!answer.retain && belongs(answer, correlationData)) return answer
    return 'late'
  } finally {
    cancel()
    answers.end()
    waiting--
  }
}

/** An answer without correlation data, as of a device of MQTT 3.1.1, is the one that came to the topic. */
function belongs({ properties }: ReceivedMessage, asked: Uint8Array): boolean {
  const { correlationData: given } = properties
  return given === undefined || (given.length === asked.length && timingSafeEqual(given, asked))
}
