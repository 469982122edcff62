/** The kinds of values that options have, each with the sentence that is printed when one is wrong. */
import { z } from 'zod'

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB

export function wholeNumber(from: number, to: number) {
  const error = `expected a whole number from ${from} to ${to}`
  return z.number(error).int(error).min(from, error).max(to, error)
}

export function oneOf<const T extends string>(...values: readonly T[]) {
  return z.enum(values, `expected one of ${values.join(', ')}`)
}

export function flag() {
  return z.boolean('expected true or false')
}

export function text(charactersMax: number) {
  const error = `expected a text of 1 to ${charactersMax} characters`
  return z.string(error).min(1, error).max(charactersMax, error)
}

export function namespaceName() {
  const error = 'expected a name of letters, digits, dots, dashes and underscores'
  return text(64).regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, error)
}

export function port() {
  const error = 'expected a port from 0 to 65535 (0 takes a free one)'
  return z.number(error).int(error).min(0, error).max(65_535, error)
}

export function portOrOff() {
  const error = 'expected a port from 0 to 65535 (0 takes a free one), or false to switch this listener off'
  return z.union([z.literal(false), z.number().int(error).min(0, error).max(65_535, error)], error)
}
