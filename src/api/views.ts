/** Views of the broker as the API's JSON: times in UTC, payloads as text or base64. */
import { isUtf8 } from 'node:buffer'
import type { ClientView, MessageView, QueuedView, SessionView } from '../core/ports/inspection.ts'

export type WallTime = (time: number) => number

/** Bytes of a payload that a list shows. */
export const payloadShownBytesMax = 1024

export function timeText(time: number, wallTime: WallTime): string {
  return new Date(wallTime(time)).toISOString()
}

function timeOrNever(time: number, wallTime: WallTime): string | null {
  return time === Infinity ? null : timeText(time, wallTime)
}

export function clientBody(view: ClientView, wallTime: WallTime) {
  return { ...view, connectedAt: timeText(view.connectedAt, wallTime) }
}

export function sessionBody(view: SessionView, wallTime: WallTime) {
  return { ...view, expiresAt: timeOrNever(view.expiresAt, wallTime) }
}

export function messageBody(view: MessageView, wallTime: WallTime, shownBytesMax = payloadShownBytesMax) {
  const { namespace, topic, payload, qos, publisher, publishedAt, expiresAt } = view
  const isText = isUtf8(payload)
  let end = Math.min(payload.length, shownBytesMax)
  // Not in the middle of a character.
  if (isText) while (end < payload.length && (payload[end]! & 0xc0) === 0x80) end--
  const payloadEncoding = isText ? ('utf8' as const) : ('base64' as const)
  return {
    namespace,
    topic,
    payload: Buffer.from(payload.buffer, payload.byteOffset, end).toString(payloadEncoding),
    payloadEncoding,
    payloadBytes: payload.length,
    payloadCut: end < payload.length,
    qos,
    publisher,
    publishedAt: timeText(publishedAt, wallTime),
    expiresAt: timeOrNever(expiresAt, wallTime),
  }
}

export function queuedBody({ position, state, qos, message }: QueuedView, wallTime: WallTime) {
  return { position, state, qos, message: message === null ? null : messageBody(message, wallTime) }
}
