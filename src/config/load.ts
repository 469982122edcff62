/**
 * The configuration of one start: flags over environment over file over defaults, option by option.
 *
 * Each source becomes a tree of raw values; the trees are laid over each other and checked once, by the schema. Every fault
 * then says where its value came from: the flag, the variable, or file, line and column.
 *
 * Environment: `MQTIDE_` and the option's name in capitals, words separated by `_`, levels by `__`, as in
 * `MQTIDE_MQTT_PORT=1884` and `MQTIDE_LIMITS__PACKET_BYTES_MAX=65536`; the items of a list by commas, those of `listeners`
 * as JSON. What is a secret may stand in a file: `MQTIDE_AUTHENTICATION__HTTP__HEADERS__authorization_FILE`. The name of a shared subscription's group is taken as it stands:
 * `MQTIDE_SHARED_SUBSCRIPTIONS__GROUPS__workers=sticky`. `MQTIDE_CONFIG` names the file. A variable that is no option is a
 * warning only, because orchestrators set variables of their own under the service's name.
 */
import { readFileSync, statSync } from 'node:fs'
import { withChain } from './authentication.ts'
import { ConfigError, dotted, nearestName } from './config-error.ts'
import { type ParsedFile, parseConfigText } from './file.ts'
import { withWholeFileNames } from './file-names.ts'
import { configJsonSchema, type FileOptions, type GatewayConfig, parseGatewayOptions } from './schema.ts'
import { isSecret } from './secrets.ts'

/** Larger files are refused unread; the schema has a few dozen options. */
const fileBytesMax = 1024 * 1024
const prefix = 'MQTIDE_'

type Tree = Record<string, unknown>
export type Environment = Readonly<Record<string, string | undefined>>

export interface ConfigSources {
  /** Options given as flags, and which flag gave each, by dotted path. */
  flags?: { options: FileOptions; names: Readonly<Record<string, string>> }
  environment?: Environment
  /** Path of a YAML or JSON file; `MQTIDE_CONFIG` where it is missing. */
  file?: string | undefined
}

export interface LoadedConfig {
  config: GatewayConfig
  /** The file that was read. */
  file: string | undefined
  warnings: readonly string[]
  /** Where an option was given: a flag, a variable, or file, line and column; nothing for a default. */
  sourceOf(path: readonly PropertyKey[]): string | undefined
}

/** @throws ConfigError with the source of every faulty value; also for a file that can't be read */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const environment = environmentOptions(sources.environment ?? {})
  const file = sources.file ?? sources.environment?.[`${prefix}CONFIG`]
  const parsedFile = file === undefined ? undefined : readConfigFile(file)
  const flags = sources.flags ?? { options: {}, names: {} }
  const fileOptions = parsedFile && withWholeFileNames(withChain(parsedFile.options), file!)
  const merged = [fileOptions, environment.options, flags.options as Tree].reduce<Tree>(
    (under, over) => (over ? overlay(under, over) : under),
    {},
  )
  const where = (path: readonly PropertyKey[]) => sourceOf(path, flags.names, environment.names, parsedFile)
  try {
    return { config: parseGatewayOptions(merged), file, warnings: environment.warnings, sourceOf: where }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError(
      error.issues.map((issue) => {
        const source = where(issue.path)
        return source === undefined ? issue : { ...issue, source }
      }),
    )
  }
}

/** @throws ConfigError for a file that can't be read, is too large, is no YAML, or doesn't hold options at its top */
export function readConfigFile(path: string): ParsedFile {
  let text: string
  try {
    if (statSync(path).size > fileBytesMax) throw new Error(`larger than ${fileBytesMax} bytes`)
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const message = `the configuration file can't be read: ${(error as Error).message}`
    throw new ConfigError([{ path: [], message, source: path }])
  }
  return parseConfigText(text, path)
}

/** Values of `over` win; objects are merged, everything else is replaced. Own keys only, so `__proto__` stays a plain name. */
function overlay(under: Tree, over: Tree): Tree {
  const merged = new Map(Object.entries(under))
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) continue
    const below = merged.get(key)
    merged.set(key, isTree(value) && isTree(below) ? overlay(below, value) : value)
  }
  return Object.fromEntries(merged)
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function sourceOf(
  path: readonly PropertyKey[],
  flagNames: Readonly<Record<string, string>>,
  variableNames: ReadonlyMap<string, string>,
  file: ParsedFile | undefined,
): string | undefined {
  // What is missing stands nowhere: then the place of what it is missing in.
  for (let length = path.length; length > 0; length--) {
    const part = path.slice(0, length)
    const source = flagNames[dotted(part)] ?? variableNames.get(dotted(part)) ?? file?.placeOf(part)
    if (source !== undefined) return source
  }
  return undefined
}

interface SchemaNode {
  type?: string
  properties?: Record<string, SchemaNode>
  additionalProperties?: SchemaNode | boolean
  items?: SchemaNode
}

function environmentOptions(environment: Environment) {
  const options: Tree = {}
  const names = new Map<string, string>()
  const warnings: string[] = []
  const schema = configJsonSchema() as SchemaNode
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith(prefix) || value === undefined || variable === `${prefix}CONFIG`) continue
    const found = optionOf(variable.slice(prefix.length).split('__'), schema)
    const secret = found === undefined || isSecret(found.path) ? secretInFile(variable, value, schema) : undefined
    if (secret !== undefined) {
      names.set(dotted(secret.path), variable)
      assign(options, secret.path, secret.text)
      continue
    }
    if (!found) {
      const nearest = nearestName(variable, variablesOf(schema, prefix))
      warnings.push(`environment variable ${variable} is no option${nearest ? `; did you mean ${nearest}?` : ''}`)
      continue
    }
    names.set(dotted(found.path), variable)
    assign(options, found.path, typedValue(value, found.node))
  }
  return { options, names, warnings }
}

/** The value of a secret by the name of a file that holds it, as Docker and Kubernetes put them there. */
function secretInFile(
  variable: string,
  file: string,
  schema: SchemaNode,
): { path: string[]; text: string } | undefined {
  if (!variable.endsWith('_FILE')) return undefined
  const found = optionOf(variable.slice(prefix.length, -'_FILE'.length).split('__'), schema)
  if (found === undefined || !isSecret(found.path)) return undefined
  try {
    if (statSync(file).size > fileBytesMax) throw new Error(`larger than ${fileBytesMax} bytes`)
    return { path: found.path, text: readFileSync(file, 'utf8').replace(/\r?\n$/, '') }
  } catch (error) {
    const message = `the file can't be read: ${(error as Error).message}`
    throw new ConfigError([{ path: found.path, message, source: variable }])
  }
}

function optionOf(words: readonly string[], schema: SchemaNode): { path: string[]; node: SchemaNode } | undefined {
  const path: string[] = []
  let node = schema
  for (const word of words) {
    const key = Object.keys(node.properties ?? {}).find((name) => capitals(name) === word)
    if (key !== undefined) {
      path.push(key)
      node = node.properties![key]!
    } else if (typeof node.additionalProperties === 'object' && word !== '') {
      path.push(word)
      node = node.additionalProperties
    } else return undefined
  }
  return node.type === 'object' ? undefined : { path, node }
}

function variablesOf(node: SchemaNode, name: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, below]) =>
    below.properties ? variablesOf(below, `${name}${capitals(key)}__`) : [name + capitals(key)],
  )
}

/** mqttPort -> MQTT_PORT */
function capitals(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
}

function typedValue(text: string, { type, items }: SchemaNode): unknown {
  if (type === 'string') return text
  if (items?.type === 'object') return fromJson(text)
  if (type === 'array') return text === '' ? [] : text.split(',').map((item) => item.trim())
  return scalar(text)
}

/** Text that is no JSON stays text, which the schema then refuses with the name of its variable. */
function fromJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function scalar(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

function assign(tree: Tree, path: readonly string[], value: unknown): void {
  let node = tree
  for (const key of path.slice(0, -1)) {
    if (!isTree(node[key])) node[key] = {}
    node = node[key] as Tree
  }
  node[path.at(-1)!] = value
}
