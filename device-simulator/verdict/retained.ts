/**
 * After the run, the retained messages are asked for and compared: for each topic that one stream of QoS 1 or 2 filled,
 * the broker must hold the last message that it acknowledged, or a later one that it never got to acknowledge.
 */
import { connectAsync } from 'mqtt'
import type { TlsFiles } from '../client/stream.ts'
import { emptyEnvelope, envelopeProperty, findEnvelope, readEnvelope } from '../payload/envelope.ts'
import type { SenderFacts } from './judge.ts'
import { RangeSet } from './range-set.ts'
import { offendersMax } from './receiver.ts'

const quietMs = 2000
const topicsMax = 20_000
const filtersPerSubscribe = 100

export interface RetainedVerdict {
  checked: number
  wrong: number
  offenders: string[]
  /** Why the check could not be made. */
  failed?: string
}

export interface RetainedCheck {
  url: string
  run: number
  tls?: TlsFiles | undefined
  username?: string | undefined
  password?: string | undefined
}

/** @param senders those whose publication is retained, at this broker */
export async function checkRetained(check: RetainedCheck, senders: readonly SenderFacts[]): Promise<RetainedVerdict> {
  const expected = lastOf(senders)
  const verdict: RetainedVerdict = { checked: 0, wrong: 0, offenders: [] }
  if (expected.size === 0) return verdict
  const found = await fetchRetained(check, [...expected.keys()])
  for (const [topic, sender] of expected) {
    verdict.checked += 1
    const sequence = found.get(topic)
    const atLeast = RangeSet.from(sender.acknowledged).highest
    if (sequence !== undefined && sequence >= atLeast && sequence < sender.sent) continue
    verdict.wrong += 1
    if (verdict.offenders.length < offendersMax) {
      verdict.offenders.push(
        `retained: ${topic} holds ${sequence === undefined ? 'nothing' : `#${sequence}`}, expected #${atLeast}`,
      )
    }
  }
  return verdict
}

/** Topics that one stream alone fills; of QoS 0 nothing is promised. */
function lastOf(senders: readonly SenderFacts[]): Map<string, SenderFacts> {
  const byTopic = new Map<string, SenderFacts[]>()
  for (const sender of senders) byTopic.set(sender.topic, [...(byTopic.get(sender.topic) ?? []), sender])
  const single = [...byTopic].flatMap(([topic, list]) => {
    const only = list[0]
    if (list.length !== 1 || only === undefined || only.stream % 3 === 0 || only.acknowledged.length === 0) return []
    return [[topic, only] as const]
  })
  return new Map(single.slice(0, topicsMax))
}

/** Topic -> sequence of what is retained there. */
async function fetchRetained(check: RetainedCheck, topics: readonly string[]): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  const envelope = emptyEnvelope()
  const { username, password, tls } = check
  const client = await connectAsync(check.url, {
    ...tls,
    protocolVersion: 5,
    reconnectPeriod: 0,
    clientId: `mqtide-auditor-${check.run.toString(36)}`,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  })
  try {
    await new Promise<void>((resolve, reject) => {
      let timer = setTimeout(resolve, quietMs)
      client.on('message', (topic, payload, packet) => {
        const property = packet.properties?.userProperties?.[envelopeProperty]
        const at = findEnvelope(payload)
        const isRead =
          typeof property === 'string'
            ? readEnvelope(Buffer.from(property), 0, payload, envelope)
            : at >= 0 && readEnvelope(payload, at, payload.subarray(0, at), envelope)
        if (isRead && envelope.run === check.run && envelope.whole) found.set(topic, envelope.sequence)
        clearTimeout(timer)
        timer = setTimeout(resolve, quietMs)
        if (found.size >= topics.length) {
          clearTimeout(timer)
          resolve()
        }
      })
      const subscribeAll = async (): Promise<void> => {
        for (let i = 0; i < topics.length; i += filtersPerSubscribe) {
          await client.subscribeAsync(topics.slice(i, i + filtersPerSubscribe), { qos: 0 })
        }
      }
      subscribeAll().catch(reject)
    })
  } finally {
    await client.endAsync(true)
  }
  return found
}
