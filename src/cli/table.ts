/** Rows for people: columns as wide as their widest cell, control characters made visible, long cells cut. */
import type { CliContext } from './context.ts'

const cellCharactersMax = 60

export type Row = Readonly<Record<string, unknown>>

export function writeTable(
  { stdout }: Pick<CliContext, 'stdout'>,
  columns: readonly string[],
  rows: readonly Row[],
): void {
  const cells = rows.map((row) => columns.map((column) => cellOf(row[column])))
  const widths = columns.map((column, i) => Math.max(column.length, ...cells.map((line) => line[i]!.length)))
  const text = [columns, ...cells].map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
  stdout.write(`${text.join('\n')}\n`)
}

function cellOf(value: unknown): string {
  const text =
    value === null || value === undefined || value === ''
      ? '-'
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value)
  const visible = printable(text)
  return visible.length > cellCharactersMax ? `${visible.slice(0, cellCharactersMax - 1)}…` : visible
}

/** What clients chose is shown on a terminal, which would do what it says. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}]/gu,
    (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  )
}
