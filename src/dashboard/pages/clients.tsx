/** Clients, and sessions whose clients are away: found by a search, sorted, a page of a hundred at a time; one of them in full. */
import { useEffect, useState } from 'preact/hooks'
import type { Client, Session } from '../api.ts'
import { bytes, count, moment, since } from '../format.ts'
import { Pager, usePaged } from '../paging.tsx'
import { type Column, Empty, Fault, Search, Table, useSettled } from '../parts.tsx'
import { linkTo, replacePlace, usePlace } from '../routes.ts'
import { shortName } from '../shown.ts'
import { text } from '../text/text.ts'
import { ClientDetail } from './client-detail.tsx'

const intervalMs = 3000

export function Clients() {
  const { item, query } = usePlace()
  if (item !== '') return <ClientDetail clientId={item} namespace={query.get('namespace') ?? ''} />
  return (
    <List
      all={query.get('show') === 'sessions'}
      filter={query.get('filter') ?? ''}
      sort={query.get('sort') ?? 'clientId'}
    />
  )
}

interface ListProps {
  /** Sessions too whose clients are away. */
  all: boolean
  filter: string
  sort: string
}

function List({ all, filter, sort }: ListProps) {
  const [typed, setTyped] = useState(filter)
  const settled = useSettled(typed)
  const go = (changes: Readonly<Record<string, string>>) => {
    const query = { show: all ? 'sessions' : '', filter, sort: sort === 'clientId' ? '' : sort, ...changes }
    replacePlace(linkTo('clients', '', query))
  }
  useEffect(() => {
    if (settled !== filter) go({ filter: settled })
  }, [settled])
  const words = text.clients
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.clients}</h1>
        <fieldset class="choice" aria-label={words.show}>
          <button type="button" aria-pressed={!all} onClick={() => go({ show: '', sort: '' })}>
            {words.connected}
          </button>
          <button type="button" aria-pressed={all} onClick={() => go({ show: 'sessions', sort: '' })}>
            {words.sessions}
          </button>
        </fieldset>
      </div>
      <div class="panel">
        <div class="panel-head">
          <Search value={typed} onInput={setTyped} placeholder={words.search} />
        </div>
        {all ? (
          <Sessions filter={filter} sort={sort} onSort={(by) => go({ sort: by })} />
        ) : (
          <Connected filter={filter} sort={sort} onSort={(by) => go({ sort: by })} />
        )}
      </div>
    </>
  )
}

interface RowsProps {
  filter: string
  sort: string
  onSort(sort: string): void
}

type Row = Client | Session

const linkToClient = ({ clientId, namespace }: Row) =>
  linkTo('clients', clientId, { namespace: namespace === 'default' ? '' : namespace })

function nameColumns<Of extends Row>(): Column<Of>[] {
  const words = text.clients.columns
  return [
    {
      key: 'clientId',
      title: words.clientId,
      sort: 'clientId',
      wide: true,
      cell: (row) => (
        <>
          <a href={linkToClient(row)}>{shortName(row.clientId, 80)}</a>{' '}
          {row.namespace !== 'default' && <span class="tag">{shortName(row.namespace, 40)}</span>}
        </>
      ),
    },
    {
      key: 'username',
      title: words.username,
      sort: 'username',
      minor: true,
      cell: (row) => shortName(row.username, 40),
    },
  ]
}

function waitingColumns<Of extends Row>(): Column<Of>[] {
  const words = text.clients.columns
  return [
    {
      key: 'subscriptions',
      title: words.subscriptions,
      sort: 'subscriptions',
      numeric: true,
      minor: true,
      cell: (row) => count(row.subscriptions),
    },
    {
      key: 'queued',
      title: words.queued,
      sort: 'queuedMessages',
      numeric: true,
      cell: (row) => count(row.queuedMessages),
    },
    {
      key: 'bytes',
      title: words.bytes,
      sort: 'queuedBytes',
      numeric: true,
      minor: true,
      cell: (row) => bytes(row.queuedBytes),
    },
    {
      key: 'inflight',
      title: words.inflight,
      sort: 'inflightMessages',
      numeric: true,
      minor: true,
      cell: (row) => count(row.inflightMessages),
    },
    {
      key: 'dropped',
      title: words.dropped,
      sort: 'droppedMessages',
      numeric: true,
      cell: (row) => <span class={row.droppedMessages > 0 ? 'bad' : ''}>{count(row.droppedMessages)}</span>,
    },
  ]
}

function Connected({ filter, sort, onSort }: RowsProps) {
  const words = text.clients
  const paged = usePaged<Client>('/clients', { filter, sort }, intervalMs)
  const columns: Column<Client>[] = [
    ...nameColumns<Client>(),
    { key: 'address', title: words.columns.address, minor: true, cell: ({ address }) => address },
    {
      key: 'version',
      title: words.columns.version,
      minor: true,
      cell: ({ protocolVersion }) => words.versions(protocolVersion),
    },
    {
      key: 'connectedAt',
      title: words.columns.connected,
      sort: 'connectedAt',
      minor: true,
      cell: ({ connectedAt }) => <span title={moment(connectedAt)}>{since(connectedAt)}</span>,
    },
    ...waitingColumns<Client>(),
  ]
  return <Rows label={words.connected} paged={paged} columns={columns} filter={filter} sort={sort} onSort={onSort} />
}

function Sessions({ filter, sort, onSort }: RowsProps) {
  const words = text.clients
  const paged = usePaged<Session>('/sessions', { filter, sort }, intervalMs)
  const columns: Column<Session>[] = [
    ...nameColumns<Session>(),
    {
      key: 'state',
      title: words.columns.state,
      cell: ({ connected }) => (
        <span class={connected ? 'tag good' : 'tag'}>{connected ? words.states.connected : words.states.away}</span>
      ),
    },
    {
      key: 'expiresAt',
      title: words.columns.expires,
      sort: 'expiresAt',
      minor: true,
      cell: ({ expiresAt }) => (expiresAt === null ? text.common.none : moment(expiresAt)),
    },
    ...waitingColumns<Session>(),
  ]
  return <Rows label={words.sessions} paged={paged} columns={columns} filter={filter} sort={sort} onSort={onSort} />
}

type PagedRows<Of> = RowsProps & { label: string; paged: ReturnType<typeof usePaged<Of>>; columns: Column<Of>[] }

function Rows<Of extends Row>({ label, paged, columns, filter, sort, onSort }: PagedRows<Of>) {
  const words = text.clients
  return (
    <>
      <Fault error={paged.error} />
      <Table
        label={label}
        columns={columns}
        rows={paged.items}
        keyOf={({ namespace, clientId }) => `${namespace}\n${clientId}`}
        sort={sort}
        onSort={onSort}
        stale={paged.stale}
      />
      {paged.data !== undefined && paged.items.length === 0 && (
        <Empty>{filter === '' ? words.nobody : words.notFound(shortName(filter, 80))}</Empty>
      )}
      <Pager paged={paged} />
    </>
  )
}
