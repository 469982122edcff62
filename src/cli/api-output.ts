/** What commands that ask a gateway have in common: the options of lists, and how rows are written. */
import { type Command, InvalidArgumentError } from 'commander'
import { ApiClient, type ApiFlags, withApiOptions } from './api-client.ts'
import type { CliContext } from './context.ts'
import { type Row, writeTable } from './table.ts'

export interface ListFlags extends ApiFlags {
  filter?: string
  sort?: string
  limit: number
  namespace?: string
}

const rowsDefault = 100
export function addList(
  command: Command,
  context: CliContext,
  { path, columns }: { path: string; columns: string[] },
): void {
  const words = 'words that all fit: a part, a pattern with *, or username:NAME and its like'
  const sorted = command
    .option('--filter <words>', words)
    .option('--sort <field>', 'field; with - in front, the greatest first')
  withLimit(sorted).action(async ({ filter, sort, limit, ...flags }: ListFlags) => {
    const found = await new ApiClient(flags, context).list<Row>(path, { filter, sort }, limit)
    writeRows(context, flags, { ...found, columns })
  })
}

export function withLimit(command: Command): Command {
  return withApiOptions(command).option('--limit <rows>', 'rows to show', rowCount, rowsDefault)
}

export function withOwner(command: Command): Command {
  return command.option('--namespace <name>', 'namespace (default: default)')
}

function rowCount(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Expected a number of rows from 1.')
}

/** One thing, a line for each of its fields. */
export function writeFields(context: CliContext, fields: Row): void {
  const rows = Object.entries(fields).map(([field, value]) => ({ field, value }))
  writeTable(context, ['field', 'value'], rows)
}

interface Rows {
  rows: readonly Row[]
  /** There are others behind. */
  more: boolean
  columns: readonly string[]
}

export function writeRows(context: CliContext, flags: Pick<ApiFlags, 'json'>, { rows, more, columns }: Rows): void {
  if (flags.json) writeJson(context, rows)
  else writeTable(context, columns, rows)
  if (more) context.stderr.write('mqtide: there is more; --limit shows it\n')
}

export function writeJson({ stdout }: Pick<CliContext, 'stdout'>, value: unknown): void {
  stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}
