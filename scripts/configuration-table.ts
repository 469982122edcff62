/**
 * The table of options in docs/configuration.md, made from the schema so that the two can't differ.
 *
 * `npm run docs` writes it into the page; `test/package/configuration-page.test.ts` compares.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { configJsonSchema } from '../src/config/schema.ts'

interface Schema {
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema | boolean
  anyOf?: Schema[]
  type?: string
  enum?: readonly string[]
  const?: unknown
  minimum?: number
  maximum?: number
  default?: unknown
  description?: string
}

export const configurationPage = fileURLToPath(new URL('../docs/configuration.md', import.meta.url))
const begin = '<!-- table: npm run docs -->\n'
const end = '<!-- end of table -->\n'

/** The page with its table made anew. */
export function withTable(page: string): string {
  const [before, rest] = page.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new Error(`docs/configuration.md lacks ${begin}or ${end}`)
  const head = '| option | values | default | meaning |\n|---|---|---|---|\n'
  return `${before}${begin}\n${head}${rows(configJsonSchema() as Schema, '').join('')}\n${end}${after}`
}

function rows(schema: Schema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, option]) => {
    if (option.properties) return rows(option, `${prefix}${name}.`)
    const { additionalProperties: named } = option
    const below = option.items?.properties
      ? rows(option.items, `${prefix}${name}[].`)
      : typeof named === 'object' && named.properties
        ? rows(named, `${prefix}${name}.NAME.`)
        : []
    const cells = [
      `\`${prefix}${name}\``,
      values(option),
      defaultOf(option),
      (option.description ?? '').replaceAll('|', '\\|'),
    ]
    return [`| ${cells.join(' | ')} |\n`, ...below]
  })
}

function values(option: Schema): string {
  if (option.anyOf) return option.anyOf.map(values).join(', ')
  if (option.const !== undefined) return `\`${option.const}\``
  if (option.enum) return option.enum.map((value) => `\`${value}\``).join(', ')
  if (option.type === 'integer' || option.type === 'number') return `${option.minimum} to ${option.maximum}`
  return (
    { boolean: '`true`, `false`', string: 'text', object: 'names and values', array: 'a list' }[option.type ?? ''] ?? ''
  )
}

function defaultOf({ default: value }: Schema): string {
  if (value === undefined || value === '') return ''
  if (typeof value !== 'number') return `\`${typeof value === 'object' ? JSON.stringify(value) : value}\``
  for (const [unit, size] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
  ] as const) {
    if (value > 0 && value % size === 0) return `\`${value}\` (${value / size} ${unit})`
  }
  return `\`${value}\``
}

if (import.meta.main) writeFileSync(configurationPage, withTable(readFileSync(configurationPage, 'utf8')))
