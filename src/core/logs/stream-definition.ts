/**
 * How a stream is declared: what it takes in, and how long it keeps that.
 *
 * The keys are those of the configuration (docs/streams.md). Filter and name are fixed for the stream's life, all else may change.
 */
import { isStreamStart } from './stream-start.ts'

/** What is beyond any of these goes, oldest first, in whole segments: of up to 256 messages or 64 KiB. */
export interface StreamRetention {
  /** 0: however old they are. */
  readonly ageMs: number
  /** Of topics, payloads and properties; 0: however many. */
  readonly bytesMax: number
  /** 0: however many. */
  readonly messagesMax: number
}

export interface StreamDefinition {
  /** Topics whose messages it keeps. */
  readonly filter: string
  readonly retention: StreamRetention
  /** Where a new reader begins that does not say, in the words of `stream-offset`. */
  readonly startAt: string
}

export const defaultStreamDefinition: Omit<StreamDefinition, 'filter'> = {
  retention: { ageMs: 7 * 24 * 60 * 60 * 1000, bytesMax: 10 * 1024 * 1024 * 1024, messagesMax: 0 },
  startAt: 'latest',
}

/** Bounds of the configuration; below the smallest of each, a segment would be more than is kept. */
export const streamBounds = {
  ageMs: { min: 1000, max: 100 * 365 * 24 * 60 * 60 * 1000 },
  bytesMax: { min: 64 * 1024, max: 1024 * 1024 * 1024 * 1024 },
  messagesMax: { min: 256, max: 1_000_000_000_000 },
} as const

/** A stream as it is declared. */
export interface DeclaredStream {
  readonly namespace: string
  readonly name: string
  readonly definition: StreamDefinition
}

/** Of all namespaces together. Their names are those of queues (`queueNamePattern`, `queueNameCharactersMax`). */
export const declaredStreamsMax = 10_000
/** Consumer groups of one stream: each has a cursor for ever, or until it is deleted. */
export const streamGroupsMax = 1000
/** Characters of a group's name. */
export const streamGroupCharactersMax = 200

/** Whether `startAt` may be so. */
export function isStartOfNewReader(text: string): boolean {
  return isStreamStart(text) && !text.startsWith('offset:')
}
