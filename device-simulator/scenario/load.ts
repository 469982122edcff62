/**
 * From the text of a scenario file to a checked scenario, or to errors that name line, column and what was expected.
 *
 * The YAML document is kept beside its plain value: an issue of the schema carries a path, the path finds a node, the
 * node has a range. `${NAME}` and `${NAME:-default}` in any string are taken from the environment first.
 */
import { type Document, isMap, isNode, isScalar, LineCounter, type Node, parseDocument } from 'yaml'
import type { z } from 'zod'
import { unknownVariables } from '../template.ts'
import { type Scenario, scenario as scenarioSchema } from './schema.ts'
import { nearest } from './suggest.ts'

export interface ScenarioProblem {
  /** From 1; absent when the problem has no place in the file. */
  line?: number
  column?: number
  /** The path of keys, `groups.sensors.count`. */
  path: string
  message: string
}

export class ScenarioError extends Error {
  readonly problems: readonly ScenarioProblem[]

  constructor(fileName: string, problems: readonly ScenarioProblem[]) {
    super(
      problems
        .map(({ line, column, path, message }) => {
          const place = line === undefined ? fileName : `${fileName}:${line}:${column}`
          return path === '' ? `${place}: ${message}` : `${place}: ${path}: ${message}`
        })
        .join('\n'),
    )
    this.name = 'ScenarioError'
    this.problems = problems
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/** @throws ScenarioError */
export function parseScenario(text: string, fileName: string, environment: Environment = {}): Scenario {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true })
  if (document.errors.length > 0) {
    throw new ScenarioError(
      fileName,
      document.errors.map((error) => ({ ...placeOf(lines, error.pos[0]), path: '', message: error.message })),
    )
  }
  const problems: ScenarioProblem[] = []
  const value = substitute(document.toJS(), environment, [], (path, message) => {
    problems.push({ ...placeOfPath(document, lines, path), path: path.join('.'), message })
  })
  const parsed = scenarioSchema.safeParse(value)
  if (parsed.success) {
    for (const { path, message } of checkReferences(parsed.data)) {
      problems.push({ ...placeOfPath(document, lines, path), path: path.join('.'), message })
    }
  } else {
    for (const issue of parsed.error.issues) problems.push(...describeIssue(issue, value, document, lines))
  }
  if (problems.length > 0 || !parsed.success) throw new ScenarioError(fileName, problems)
  return parsed.data
}

function placeOf(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset)
  return { line, column: col }
}

type Path = readonly PropertyKey[]

/** The place of the node at `path`, or of its nearest parent that the file has. */
function placeOfPath(document: Document, lines: LineCounter, path: Path): { line?: number; column?: number } {
  for (let length = path.length; length >= 0; length--) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return placeOf(lines, node.range[0])
  }
  return {}
}

function placeOfKey(
  document: Document,
  lines: LineCounter,
  path: Path,
  key: string,
): { line?: number; column?: number } {
  const node = path.length === 0 ? document.contents : document.getIn(path, true)
  if (isMap(node)) {
    for (const pair of node.items) {
      const name = pair.key as Node
      if (isScalar(name) && String(name.value) === key && name.range) return placeOf(lines, name.range[0])
    }
  }
  return placeOfPath(document, lines, path)
}

type Issue = z.core.$ZodIssue

function describeIssue(issue: Issue, value: unknown, document: Document, lines: LineCounter): ScenarioProblem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(issue.path, value)
    return issue.keys.map((key) => {
      const suggestion = nearest(key, known)
      const hint = suggestion === undefined ? `expected ${known.join(', ')}` : `did you mean "${suggestion}"?`
      return {
        ...placeOfKey(document, lines, issue.path, key),
        path: [...issue.path, key].join('.'),
        message: `unknown key "${key}"${known.length === 0 ? '' : `: ${hint}`}`,
      }
    })
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const inner = closestBranch(issue.errors)
    if (inner !== undefined) {
      return inner.flatMap((child) =>
        describeIssue({ ...child, path: [...issue.path, ...child.path] } as Issue, value, document, lines),
      )
    }
  }
  const found = valueAt(value, issue.path)
  const message = /expected/i.test(issue.message) ? lowerFirst(issue.message) : `${issue.message}`
  return [
    {
      ...placeOfPath(document, lines, issue.path),
      path: issue.path.join('.'),
      message: addSuggestion(message, found, issue),
    },
  ]
}

/**
 * Of a union's branches, the one that the author meant: the mapping whose own keys went wrong. A branch that failed at
 * its root (the wrong kind of value) says nothing worth reading.
 */
function closestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const deep = branches.filter((issues) =>
    issues.some((issue) => issue.path.length > 0 || issue.code === 'unrecognized_keys'),
  )
  return deep.length === 1 ? deep[0] : undefined
}

function addSuggestion(message: string, found: unknown, issue: Issue): string {
  if (found === undefined && issue.code === 'invalid_type')
    return message.replace(/^invalid input: /, 'missing, ').replace(', received undefined', '')
  const text = message.replace(/^invalid input: /, '').replace(/^invalid option: /, '')
  if (typeof found !== 'string' && typeof found !== 'number' && typeof found !== 'boolean') {
    const type = typeOf(found)
    return type === undefined ? text : `${text}, found type ${JSON.stringify(type)}${suggest(type, text)}`
  }
  return text.includes('found') ? text : `${text}, found ${JSON.stringify(found)}${suggest(String(found), text)}`
}

function typeOf(found: unknown): string | undefined {
  if (found === null || typeof found !== 'object' || !('type' in found)) return undefined
  return typeof found.type === 'string' ? found.type : undefined
}

function suggest(found: string, text: string): string {
  const words = text.match(/[A-Za-z][\w.-]*/g) ?? []
  const suggestion = nearest(found, words)
  return suggestion === undefined || suggestion === found ? '' : `; did you mean "${suggestion}"?`
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value
  for (const key of path) {
    if (current === null || typeof current !== 'object') return undefined
    current = (current as Record<PropertyKey, unknown>)[key]
  }
  return current
}

interface Definition {
  type: string
  innerType?: z.ZodType
  in?: z.ZodType
  element?: z.ZodType
  valueType?: z.ZodType
  getter?: () => z.ZodType
  options?: readonly z.ZodType[]
}

/** The keys that the schema knows at `path`, following the branch of each union that `value` took. */
function knownKeys(path: Path, value: unknown): string[] {
  let schemas: z.ZodType[] = [scenarioSchema]
  let current: unknown = value
  for (const key of path) {
    schemas = schemas.flatMap((schema) => objectsOf(schema, current)).flatMap((schema) => childOf(schema, key))
    current = valueAt(current, [key])
  }
  const keys = schemas
    .flatMap((schema) => objectsOf(schema, current))
    .flatMap((schema) => Object.keys(shapeOf(schema) ?? {}))
  return [...new Set(keys)]
}

function definitionOf(schema: z.ZodType): Definition {
  return schema.def as unknown as Definition
}

function shapeOf(schema: z.ZodType): Record<string, z.ZodType> | undefined {
  return (schema as unknown as { shape?: Record<string, z.ZodType> }).shape
}

function objectsOf(schema: z.ZodType, value: unknown): z.ZodType[] {
  const { type, innerType, in: input, getter, options } = definitionOf(schema)
  if (type === 'object' || type === 'record' || type === 'array') return [schema]
  if (innerType !== undefined) return objectsOf(innerType, value)
  if (input !== undefined) return objectsOf(input, value)
  if (getter !== undefined) return objectsOf(getter(), value)
  if (options === undefined) return []
  const all = options.flatMap((option) => objectsOf(option, value))
  const wanted = typeOf(value)
  if (wanted === undefined) return all
  const matching = all.filter((option) => {
    const literal = shapeOf(option)?.['type']
    return literal !== undefined && (literal as unknown as { value?: string }).value === wanted
  })
  return matching.length > 0 ? matching : all
}

function childOf(schema: z.ZodType, key: PropertyKey): z.ZodType[] {
  const { type, element, valueType } = definitionOf(schema)
  if (type === 'array') return element === undefined ? [] : [element]
  if (type === 'record') return valueType === undefined ? [] : [valueType]
  const child = shapeOf(schema)?.[String(key)]
  return child === undefined ? [] : [child]
}

type Finding = { path: PropertyKey[]; message: string }

/** Variables that every device has, besides those of its group. */
const ownVariables = ['group', 'index', 'username', 'clientId']

/** Names in braces within client ids, topics and filters that no variable has: sent as they stand, nobody would notice. */
function checkVariables({ groups }: Scenario): Finding[] {
  return Object.entries(groups).flatMap(([name, group]) => {
    const known = [...ownVariables, ...Object.keys(group.variables)]
    const variables = Object.fromEntries(known.map((one) => [one, '']))
    const at: PropertyKey[] = ['groups', name]
    const templates: [path: PropertyKey[], template: string | undefined][] = [
      [[...at, 'clientId'], group.clientId],
      [[...at, 'will', 'topic'], group.will?.topic],
      [[...at, 'birth', 'topic'], group.birth?.topic],
      ...group.publications.map(({ topic }, i): [PropertyKey[], string | undefined] => [
        [...at, 'publications', i, 'topic'],
        topic,
      ]),
      ...group.subscriptions.map(({ filter }, i): [PropertyKey[], string] => [
        [...at, 'subscriptions', i, 'filter'],
        filter,
      ]),
    ]
    return templates.flatMap(([path, template = '']) =>
      unknownVariables(template, variables).map((unknown) => {
        const suggestion = nearest(unknown, known)
        const hint =
          suggestion === undefined ? `expected one of ${known.join(', ')}` : `did you mean "{${suggestion}}"?`
        return { path, message: `no variable is called "{${unknown}}": ${hint}` }
      }),
    )
  })
}

/** Names in the scenario that must name something in the scenario. */
function checkReferences(scenario: Scenario): Finding[] {
  const found = checkVariables(scenario)
  const groups = Object.keys(scenario.groups)
  const brokers = Object.keys(scenario.brokers ?? {})
  const check = (name: string, known: readonly string[], what: string, path: PropertyKey[]): void => {
    if (known.includes(name)) return
    const suggestion = nearest(name, known)
    const hint =
      suggestion === undefined ? `expected one of ${known.join(', ') || '(none)'}` : `did you mean "${suggestion}"?`
    found.push({ path, message: `no ${what} is called "${name}": ${hint}` })
  }
  for (const [name, group] of Object.entries(scenario.groups)) {
    if (group.broker !== undefined) check(group.broker, brokers, 'broker', ['groups', name, 'broker'])
    found.push(...consumerFindings(name, scenario))
    for (const [i, request] of group.requests.entries())
      check(request.to, groups, 'group', ['groups', name, 'requests', i, 'to'])
    group.publications.forEach((publication, i) => {
      if (publication.payload.encoding === 'sparkplug' && group.sparkplug === undefined) {
        found.push({
          path: ['groups', name, 'publications', i],
          message: 'encoding sparkplug needs sparkplug: { group: ... } in the group',
        })
      }
    })
  }
  const faultLists: [PropertyKey[], Scenario['faults']][] = [[['faults'], scenario.faults]]
  scenario.stages?.forEach((stage, i) => {
    for (const [j, name] of (stage.groups ?? []).entries()) check(name, groups, 'group', ['stages', i, 'groups', j])
    faultLists.push([['stages', i, 'faults'], stage.faults])
  })
  for (const [path, faults] of faultLists) {
    for (const [i, fault] of faults.entries()) {
      for (const [j, name] of (fault.groups ?? []).entries()) check(name, groups, 'group', [...path, i, 'groups', j])
    }
  }
  return found
}

/** Verdicts need what only MQTT 5.0 has, and a session that ends with its connection. */
function consumerFindings(name: string, { groups }: Scenario): Finding[] {
  const { consumes, protocol, session, subscriptions } = groups[name]!
  if (consumes === undefined) {
    return subscriptions.flatMap(({ stream, group }, i) => {
      const path = ['groups', name, 'subscriptions', i, 'group']
      return group !== undefined && stream === undefined ? [{ path, message: 'a group reads a stream: name it' }] : []
    })
  }
  const path = ['groups', name, 'consumes']
  const found: Finding[] = []
  const fault = (message: string) => found.push({ path, message })
  if ([protocol].flat().some((one) => one !== '5.0')) fault('needs protocol 5.0, which has what names a delivery')
  if (session === 'durable') fault('needs session: clean: what a worker leaves behind goes to others')
  if (subscriptions.length > 0) fault('stands alone: a group either consumes a queue or subscribes')
  if (consumes.fail + consumes.reject > 1) fault('expected fail and reject of 1 at most together')
  const { deadLettersOf } = consumes
  const workers = Object.values(groups).map((group) => group.consumes)
  if (deadLettersOf !== undefined && !workers.some((one) => one?.filter !== undefined && one.queue === deadLettersOf)) {
    fault(`no group consumes the queue ${deadLettersOf}`)
  }
  return found
}

function substitute(
  value: unknown,
  environment: Environment,
  path: PropertyKey[],
  complain: (path: PropertyKey[], message: string) => void,
): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}/g, (_, name: string, fallback: string | undefined) => {
      const found = environment[name] ?? fallback
      if (found === undefined)
        complain(path, `the environment has no ${name}: expected it to be set, or \${${name}:-default}`)
      return found ?? ''
    })
  }
  if (Array.isArray(value)) return value.map((item, i) => substitute(item, environment, [...path, i], complain))
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, substitute(item, environment, [...path, key], complain)]),
    )
  }
  return value
}
