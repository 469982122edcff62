/**
 * What queues and streams have in common as they are declared: by name, at the top level those of the default namespace, under
 * `namespaces.NAME` those of another; with a filter that is fixed until a restart.
 */
import { queueNameCharactersMax, queueNamePattern } from '../core/logs/definition.ts'
import { parseTopicFilter } from '../mqtt/topic.ts'
import type { ConfigIssue } from './config-error.ts'
import { text } from './fields.ts'

export type DeclaredKind = 'queues' | 'streams'

type Named<Options> = Readonly<Record<string, Options>>

export type OptionsWith<Kind extends DeclaredKind, Options> = Readonly<Record<Kind, Named<Options>>> & {
  namespaces: Named<Readonly<Record<Kind, Named<Options>>>>
}

/** Those of one namespace, in one place of the configuration. */
export interface Section<Options> {
  namespace: string
  named: Named<Options>
  /** Where it stands. */
  path: readonly PropertyKey[]
}

export function sectionsOf<Kind extends DeclaredKind, Options>(
  options: OptionsWith<Kind, Options>,
  kind: Kind,
): Section<Options>[] {
  const others = Object.entries(options.namespaces).map(([namespace, one]) => {
    return { namespace, named: one[kind], path: ['namespaces', namespace, kind] }
  })
  return [{ namespace: 'default', named: options[kind], path: [kind] }, ...others]
}

/** Namespaces have no slash in their names. */
export const addressOf = ({ namespace, name }: { namespace: string; name: string }): string => `${namespace}/${name}`

export function nameOf(kind: string) {
  const error = `expected a ${kind} name of letters, digits, -, . and _, with a letter or a digit first`
  return text(queueNameCharactersMax).regex(queueNamePattern, error)
}

/** Each of them once, and not too many; `check` finds what else is wrong with one. */
export function declarationIssues<Options>(
  sections: readonly Section<Options>[],
  { kind, max }: { kind: 'queue' | 'stream'; max: number },
  check: (found: Options, path: readonly PropertyKey[], name: { namespace: string; name: string }) => ConfigIssue[],
): ConfigIssue[] {
  const count = sections.reduce((sum, { named }) => sum + Object.keys(named).length, 0)
  if (count > max) return [{ path: [`${kind}s`], message: `expected at most ${max} ${kind}s, got ${count}` }]
  const taken = new Set<string>()
  return sections.flatMap(({ namespace, named, path }) =>
    Object.entries(named).flatMap(([name, found]): ConfigIssue[] => {
      const at = [...path, name]
      const address = addressOf({ namespace, name })
      if (taken.has(address)) {
        return [{ path: at, message: `the ${kind} ${name} is declared under ${kind}s already` }]
      }
      taken.add(address)
      return check(found, at, { namespace, name })
    }),
  )
}

export function filterIssues(filter: string | null, at: readonly PropertyKey[]): ConfigIssue[] {
  if (filter === null || (!filter.startsWith('$') && parseTopicFilter(filter) !== undefined)) return []
  const message = `expected a topic filter that does not begin with $, got ${JSON.stringify(filter.slice(0, 60))}`
  return [{ path: [...at, 'filter'], message }]
}

interface Filtered {
  filter?: string | undefined
}

/** Where one that is in both has another filter: it is fixed until a restart. */
export function changedFiltersIn<Options extends Filtered>(
  before: readonly Section<Options>[],
  after: readonly Section<Options>[],
): string[] {
  const filters = new Map<string, string | undefined>()
  for (const { namespace, named } of before) {
    for (const [name, { filter }] of Object.entries(named)) filters.set(addressOf({ namespace, name }), filter)
  }
  return after.flatMap(({ namespace, named, path }) =>
    Object.entries(named)
      .filter(([name, { filter }]) => {
        const address = addressOf({ namespace, name })
        return filters.has(address) && filters.get(address) !== filter
      })
      .map(([name]) => [...path, name, 'filter'].join('.')),
  )
}
