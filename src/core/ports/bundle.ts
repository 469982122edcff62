/**
 * A bundle: messages and verdicts on messages of queues that are taken together, all or none of them. Here is what the HTTP API and
 * the program say and hear of it; how it is judged and done is in `publish/bundle.ts`.
 */
import type { QueueName, Settlement } from './queues.ts'

/** Messages and verdicts of one bundle, together. */
export const bundleItemsMax = 1000

/** A verdict on a message that is leased, as part of a bundle. */
export interface BundledVerdict extends Settlement {
  readonly queue: QueueName
}

/**
 * `not_authorized`: a rule says no, or it is the gateway's own to publish there. `malformed`: no topic, no address. `no_room`: a queue, the
 * retained messages, the delayed ones or the store. `too_large`: larger than a packet may be. `not_held`: the lease is over, or never was.
 */
export const bundleRefusals = [
  'not_authorized',
  'malformed',
  'too_large',
  'no_room',
  'not_held',
  'unknown_queue',
  'unknown_namespace',
] as const

/** The first item that was not taken, for which nothing of the bundle was. */
export interface BundleRefusal {
  readonly part: 'messages' | 'settle'
  /** From 0. */
  readonly index: number
  readonly reason: (typeof bundleRefusals)[number]
  /** For people. */
  readonly text: string
}
