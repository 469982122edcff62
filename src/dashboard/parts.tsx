/** What pages are made of: panels, figures, tables, notices. */
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import type { ApiError } from './api.ts'
import { text } from './text/text.ts'

export function Panel(props: { title: string; side?: ComponentChildren; wide?: boolean; children: ComponentChildren }) {
  const heading = useId()
  return (
    <section class={props.wide === true ? 'panel wide' : 'panel'} aria-labelledby={heading}>
      <div class="panel-head">
        <h2 id={heading}>{props.title}</h2>
        {props.side}
      </div>
      {props.children}
    </section>
  )
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="empty">{children}</div>
}

/** What went wrong; nothing for what is merely unreachable, since the page's head says that. */
export function Fault({ error }: { error: ApiError | undefined }) {
  if (error === undefined || error.status === 0) return null
  return (
    <p class="notice bad" role="alert">
      {text.common.failed(error.message)}
    </p>
  )
}

/** A name and its value, in two columns. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

export interface Column<Row> {
  /** Unlike the others'. */
  key: string
  title: string
  cell(row: Row): ComponentChildren
  numeric?: boolean
  /** What it is sorted by, where it can be. */
  sort?: string
  /** Left out where there is little room. */
  minor?: boolean
  /** Takes the room that the others leave. */
  wide?: boolean
}

interface TableProps<Row> {
  label: string
  columns: readonly Column<Row>[]
  rows: readonly Row[]
  keyOf(row: Row): string
  /** As the API has it: a name, with `-` in front the greatest first. */
  sort?: string
  onSort?(sort: string): void
  stale?: boolean
}

export function Table<Row>({ label, columns, rows, keyOf, sort = '', onSort, stale = false }: TableProps<Row>) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: of a table, not of a form
    // biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no mouse scrolls it by keys
    <div class="table-frame" role="group" tabIndex={0} aria-label={label} aria-busy={stale}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <HeadCell key={column.key} column={column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((column) => (
                <td key={column.key} class={cellClass(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function cellClass<Row>({ numeric = false, minor = false, wide = false }: Column<Row>): string {
  return `${numeric ? 'numeric ' : ''}${minor ? 'minor ' : ''}${wide ? 'wide' : ''}`.trim()
}

interface HeadCellProps<Row> {
  column: Column<Row>
  sort: string
  onSort: ((sort: string) => void) | undefined
}

function HeadCell<Row>({ column, sort, onSort }: HeadCellProps<Row>) {
  const by = column.sort
  if (by === undefined || onSort === undefined) {
    return (
      <th scope="col" class={cellClass(column)}>
        {column.title}
      </th>
    )
  }
  const direction = sort === by ? 'ascending' : sort === `-${by}` ? 'descending' : 'none'
  // Of numbers the greatest come first, since they are what one looks for.
  const first = column.numeric === true ? `-${by}` : by
  const other = first === by ? `-${by}` : by
  return (
    <th scope="col" class={cellClass(column)} aria-sort={direction}>
      <button type="button" class="sort" onClick={() => onSort(sort === first ? other : first)}>
        <span aria-hidden="true" class="arrow">
          {direction === 'ascending' ? '↑' : direction === 'descending' ? '↓' : ''}
        </span>
        {column.title}
      </button>
    </th>
  )
}

/** How much of a limit is used: its colour warns from four fifths on. */
export function Meter({ label, used, max }: { label: string; used: number; max: number }) {
  const part = max <= 0 ? 0 : Math.min(1, used / max)
  const state = part >= 0.95 ? 'bad' : part >= 0.8 ? 'wait' : 'calm'
  return <meter class={`meter ${state}`} aria-label={label} min={0} max={1} value={part} />
}

interface ConfirmProps {
  title: string
  children: ComponentChildren
  action: string
  onConfirm(): void
  onCancel(): void
}

/** Asks before what can't be undone. */
export function Confirm({ title, children, action, onConfirm, onCancel }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onCancel}>
      <div class="dialog-text">{children}</div>
      <div class="buttons">
        <button type="button" onClick={onCancel}>
          {text.common.cancel}
        </button>
        <button type="button" class="danger" onClick={onConfirm}>
          {action}
        </button>
      </div>
    </Dialog>
  )
}

export function Dialog(props: { title: string; children: ComponentChildren; onClose(): void }) {
  const { title, children, onClose } = props
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} aria-labelledby={heading} onClose={onClose}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  )
}

interface FieldProps {
  label: string
  hint?: string | undefined
  class?: string
  children(id: string, hintId: string | undefined): JSX.Element
}

/** A control with its label above it. */
export function Field({ label, hint, class: className = '', children }: FieldProps) {
  const id = useId()
  return (
    <div class={`field ${className}`}>
      <label for={id}>{label}</label>
      {children(id, hint === undefined ? undefined : `${id}-hint`)}
      {hint !== undefined && (
        <span class="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  )
}

/** What the API takes of a filter. */
const searchLengthMax = 500

/** Words to search a list for. */
export function Search({
  value,
  onInput,
  label = text.common.search,
  placeholder = text.common.search,
}: {
  value: string
  onInput: (words: string) => void
  label?: string
  placeholder?: string
}) {
  return (
    <input
      type="search"
      aria-label={label}
      placeholder={placeholder}
      maxLength={searchLengthMax}
      value={value}
      onInput={(event) => onInput(event.currentTarget.value)}
    />
  )
}

/** What is typed, once the typist has paused. */
export function useSettled<Value>(value: Value, delayMs = 250): Value {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), delayMs)
    return () => clearTimeout(timer)
  }, [value, delayMs])
  return settled
}
