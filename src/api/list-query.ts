/** What lists have in common: how to sort them, and words that filter them. */
import { z } from '@hono/zod-openapi'
import { filterCharactersMax } from './filter.ts'
import type { SortValue } from './listing.ts'

export const identityOf = ({ namespace, clientId }: { namespace: string; clientId: string }): string =>
  namespace === 'default' ? clientId : `${namespace}\u0000${clientId}`

/** `sort=name` or `sort=-name`. */
export function sortQuery<Name extends string>(names: readonly Name[]) {
  const both = names.flatMap((name) => [name, `-${name}`] as const)
  return z.enum(both as [Name | `-${Name}`, ...(Name | `-${Name}`)[]]).describe('With - in front, the greatest first.')
}

export function orderBy<Row, Name extends string>(
  sort: Name | `-${Name}`,
  values: Readonly<Record<Name, (row: Row) => SortValue>>,
  identity: (row: Row) => string,
) {
  const descending = sort.startsWith('-')
  return { value: values[(descending ? sort.slice(1) : sort) as Name], identity, descending }
}

export function wordsQuery(own: string, fields: readonly string[]) {
  const others = fields.map((name) => `${name}:`).join(', ')
  return z
    .string()
    .max(filterCharactersMax)
    .optional()
    .describe(`Words that all fit: part of the ${own}, a pattern with *, or ${others} followed by one of both.`)
}
