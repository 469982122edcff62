/** What the pages about queues and about streams have in common: the list of them, and their messages in a table. */
import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { bytes } from './format.ts'
import { Pager, usePaged } from './paging.tsx'
import { type Column, Empty, Fault, Search, Table, useSettled } from './parts.tsx'
import type { LogMessage } from './queue-types.ts'
import { linkTo, replacePlace } from './routes.ts'
import { bytesOf, previewOf, shortName } from './shown.ts'
import { text } from './text/text.ts'

export const intervalMs = 2000

export interface Declared {
  namespace: string
  name: string
  /** False: the configuration does not name it any more. */
  declared: boolean
}

interface ListProps<Row> {
  page: 'queues' | 'streams'
  columns: Column<Row>[]
  filter: string
  sort: string
  words: { none: string; notFound(filter: string): string }
}

export function DeclaredList<Row extends Declared>({ page, columns, filter, sort, words }: ListProps<Row>) {
  const [typed, setTyped] = useState(filter)
  const settled = useSettled(typed)
  const paged = usePaged<Row>(`/${page}`, { filter, sort }, intervalMs)
  const go = (changes: Readonly<Record<string, string>>) =>
    replacePlace(linkTo(page, '', { filter, sort: sort === 'name' ? '' : sort, ...changes }))
  useEffect(() => {
    if (settled !== filter) go({ filter: settled })
  }, [settled])
  return (
    <>
      <div class="page-head">
        <h1>{text.pages[page]}</h1>
      </div>
      <div class="panel">
        <div class="panel-head">
          <Search value={typed} onInput={setTyped} />
        </div>
        <Fault error={paged.error} />
        <Table
          label={text.pages[page]}
          columns={columns}
          rows={paged.items}
          keyOf={({ namespace, name }) => `${namespace}\n${name}`}
          sort={sort}
          onSort={(by) => go({ sort: by })}
          stale={paged.stale}
        />
        {paged.data !== undefined && paged.items.length === 0 && (
          <Empty>{filter === '' ? words.none : words.notFound(shortName(filter, 80))}</Empty>
        )}
        <Pager paged={paged} />
      </div>
    </>
  )
}

export function nameColumn<Row extends Declared>(
  page: 'queues' | 'streams',
  title: string,
  undeclared: string,
): Column<Row> {
  return {
    key: 'name',
    title,
    sort: 'name',
    wide: true,
    cell: ({ name, namespace, declared }) => (
      <>
        <a href={linkTo(page, name, { namespace: namespace === 'default' ? '' : namespace })}>{shortName(name, 80)}</a>{' '}
        {namespace !== 'default' && <span class="tag">{shortName(namespace, 40)}</span>}
        {!declared && <span class="tag bad">{undeclared}</span>}
      </>
    ),
  }
}

export function bytesColumn<Row extends { bytes: number }>(title: string): Column<Row> {
  return { key: 'bytes', title, sort: 'bytes', numeric: true, minor: true, cell: (row) => bytes(row.bytes) }
}

/** Topic and payload of what is in one. */
export function messageColumns<Row extends { message: LogMessage }>(words: {
  topic: string
  payload: string
}): Column<Row>[] {
  return [
    {
      key: 'topic',
      title: words.topic,
      wide: true,
      cell: ({ message }) => <span class="mono">{shortName(message.topic, 100)}</span>,
    },
    {
      key: 'payload',
      title: words.payload,
      wide: true,
      minor: true,
      cell: ({ message }) => <span class="mono quiet">{previewOf(payloadOf(message), 60)}</span>,
    },
  ]
}

function payloadOf({ payload, payloadEncoding, payloadBytes }: LogMessage) {
  return { bytes: bytesOf(payload, payloadEncoding), size: payloadBytes }
}

/** The name of one above its details, with what can be done with it. */
export function DetailsHead(props: { page: 'queues' | 'streams'; name: string; children: ComponentChildren }) {
  return (
    <div class="page-head">
      <h1>
        <a class="back" href={linkTo(props.page)}>
          {text.pages[props.page]}
        </a>{' '}
        <span class="mono">{shortName(props.name, 120)}</span>
      </h1>
      {props.children}
    </div>
  )
}
