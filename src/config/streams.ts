/**
 * Streams: messages that are kept so that readers can begin where they like (`docs/streams.md`). `streams` are those of the default
 * namespace, `namespaces.NAME.streams` those of another.
 */
import { z } from 'zod'
import {
  defaultStreamDefinition as core,
  type DeclaredStream,
  declaredStreamsMax,
  isStartOfNewReader,
  type StreamRetention,
  streamBounds,
} from '../core/logs/stream-definition.ts'
import type { ConfigIssue } from './config-error.ts'
import {
  changedFiltersIn,
  declarationIssues,
  filterIssues,
  nameOf,
  type OptionsWith,
  sectionsOf,
} from './declarations.ts'
import { text, wholeNumber } from './fields.ts'

/** Within the core's bounds, or 0, which is no limit. */
function limitOf(name: keyof StreamRetention) {
  const { min, max } = streamBounds[name]
  const error = `expected 0, or a whole number from ${min} to ${max}`
  return wholeNumber(0, max)
    .refine((value) => value === 0 || value >= min, error)
    .default(core.retention[name])
}

export const retentionSchema = z.strictObject(
  {
    ageMs: limitOf('ageMs').describe('How long a message is kept. 0: however old it is.'),
    bytesMax: limitOf('bytesMax').describe('Bytes that are kept; the oldest go first. 0: however many.'),
    messagesMax: limitOf('messagesMax').describe('Messages that are kept; the oldest go first. 0: however many.'),
  },
  'expected ageMs, bytesMax and messagesMax',
)

const startError = 'expected earliest, latest, last, a time, or how long ago, such as -1h'

export const streamSchema = z.strictObject(
  {
    filter: text(65_535).describe('Which messages it keeps, by a topic filter; fixed until a restart.'),
    retention: retentionSchema.prefault({}),
    startAt: z
      .string(startError)
      .refine(isStartOfNewReader, startError)
      .default(core.startAt)
      .describe('Where a new reader begins that does not say: earliest, latest, last, a time, or such as -1h.'),
  },
  'expected what this stream keeps as names and values: filter at least',
)

export const streamsSchema = z.record(
  nameOf('stream'),
  streamSchema,
  'expected streams by their names, of letters, digits, -, . and _, with a letter or a digit first',
)

type StreamOptions = z.output<typeof streamSchema>
type OptionsWithStreams = OptionsWith<'streams', StreamOptions>

/** The option of both. */
export function streamsOption(whose: string) {
  return streamsSchema.default({}).describe(`${whose}, by name; see streams.md.`)
}

/** Every stream that is declared, with its defaults. */
export function streamsOf(options: OptionsWithStreams): DeclaredStream[] {
  return sectionsOf(options, 'streams').flatMap(({ namespace, named }) =>
    Object.entries(named).map(([name, definition]) => ({ namespace, name, definition })),
  )
}

/** Faults that no single value has. */
export function streamIssues(options: OptionsWithStreams): ConfigIssue[] {
  const sections = sectionsOf(options, 'streams')
  return declarationIssues(sections, { kind: 'stream', max: declaredStreamsMax }, ({ filter }, at) =>
    filterIssues(filter, at),
  )
}

/** Where a stream that is in both has another filter. */
export function changedStreamFilters(before: OptionsWithStreams, after: OptionsWithStreams): string[] {
  return changedFiltersIn(sectionsOf(before, 'streams'), sectionsOf(after, 'streams'))
}
