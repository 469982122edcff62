/**
 * What of a list is wanted: words, each of which has to fit. `pump*` is about the row's own name, `username:alice` about a field.
 * A word with `*` fits as a whole, one without fits a part. Field names are a closed set, so that `urn:dev:1` is a name.
 */
import { fitsPattern } from '../auth/wildcard.ts'

export const filterCharactersMax = 500

export function matcherOf<Row>(
  filter: string | undefined,
  own: (row: Row) => string,
  fields: Readonly<Record<string, (row: Row) => string>>,
): (row: Row) => boolean {
  const words = (filter ?? '').split(/\s+/).filter((word) => word !== '')
  const tests = words.map((word) => {
    const [, name = '', rest = ''] = /^([a-zA-Z]+):(.*)$/.exec(word) ?? []
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    const pattern = field === undefined ? word : rest
    const read = field ?? own
    return pattern.includes('*')
      ? (row: Row) => fitsPattern(pattern, read(row))
      : (row: Row) => read(row).includes(pattern)
  })
  return (row) => tests.every((test) => test(row))
}
