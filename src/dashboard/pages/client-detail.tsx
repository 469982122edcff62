/** One client: its connection, its session, what it is subscribed to, what waits for it, what it lost; and how to be rid of it. */
import { Action, NeedsToken } from '../action.tsx'
import {
  type Client,
  call,
  type Drop,
  type Page,
  pathOf,
  type Queued,
  type Session,
  type Subscription,
  usePolled,
} from '../api.ts'
import { bytes, count, duration, moment, since } from '../format.ts'
import { type Column, Empty, Facts, Fault, Panel, Table } from '../parts.tsx'
import { linkTo } from '../routes.ts'
import { shortName } from '../shown.ts'
import { text } from '../text/text.ts'

const intervalMs = 2000
const neverExpires = 0xffffffff

interface Owner {
  clientId: string
  /** Empty: the default one, or that of the token. */
  namespace: string
}

export function ClientDetail({ clientId, namespace }: Owner) {
  const query = { namespace }
  const client = usePolled<Client>(pathOf('clients', clientId), query, intervalMs)
  const session = usePolled<Session>(pathOf('sessions', clientId), query, intervalMs)
  const words = text.clients
  const connected = client.error?.status !== 404 && client.data !== undefined
  return (
    <>
      <div class="page-head">
        <h1>
          <a class="back" href={linkTo('clients')}>
            {text.pages.clients}
          </a>{' '}
          <span class="mono">{shortName(clientId, 120)}</span>
        </h1>
        <a href={linkTo('trace', '', { clientId })}>{text.trace.link}</a>
        <Buttons
          clientId={clientId}
          namespace={namespace}
          connected={connected}
          exists={session.error?.status !== 404}
        />
      </div>
      <NeedsToken />
      {session.error?.status === 404 ? (
        <div class="panel">
          <Empty>{words.gone}</Empty>
        </div>
      ) : (
        <>
          <Fault error={session.error} />
          <div class="columns">
            <Panel title={words.connection}>
              {connected ? <ConnectionFacts client={client.data!} /> : <Empty>{words.isAway}</Empty>}
            </Panel>
            <Panel title={words.session}>{session.data !== undefined && <SessionFacts session={session.data} />}</Panel>
          </div>
          <Subscriptions clientId={clientId} namespace={namespace} />
          <Queue clientId={clientId} namespace={namespace} />
          <Drops clientId={clientId} namespace={namespace} />
        </>
      )}
    </>
  )
}

function Buttons({ clientId, namespace, connected, exists }: Owner & { connected: boolean; exists: boolean }) {
  const words = text.clients
  const name = <code>{shortName(clientId, 80)}</code>
  const end = async (kind: 'clients' | 'sessions', done: string) => {
    await call(pathOf(kind, clientId), { method: 'DELETE', query: { namespace } })
    return done
  }
  return (
    <div class="row">
      <Action
        label={words.disconnect}
        title={words.disconnectTitle}
        disabled={!connected}
        run={() => end('clients', words.disconnected)}
      >
        {name} {words.disconnectMore}
      </Action>
      <Action
        label={words.endSession}
        title={words.endSessionTitle}
        disabled={!exists}
        run={() => end('sessions', words.sessionEnded)}
      >
        {name} {words.endSessionMore}
      </Action>
    </div>
  )
}

function ConnectionFacts({ client }: { client: Client }) {
  const words = text.clients
  const named = words.facts
  return (
    <Facts
      facts={[
        [named.connectedAt, `${moment(client.connectedAt)} (${since(client.connectedAt)})`],
        [named.address, client.address],
        [named.listener, client.listener],
        [named.version, words.versions(client.protocolVersion)],
        [named.keepAlive, client.keepAliveSeconds === 0 ? text.common.none : duration(client.keepAliveSeconds)],
        [named.username, client.username === '' ? text.common.none : shortName(client.username)],
        [named.principal, client.principal === '' ? text.common.none : shortName(client.principal)],
      ]}
    />
  )
}

function SessionFacts({ session }: { session: Session }) {
  const named = text.clients.facts
  const expiry = session.sessionExpirySeconds
  return (
    <Facts
      facts={[
        [named.namespace, session.namespace],
        [named.expiry, expiry >= neverExpires ? text.common.never : expiry === 0 ? text.common.none : duration(expiry)],
        [named.expiresAt, session.expiresAt === null ? text.common.none : moment(session.expiresAt)],
        [named.stored, session.stored ? text.common.yes : text.common.no],
        [named.queued, `${count(session.queuedMessages)} (${bytes(session.queuedBytes)})`],
        [named.inflight, count(session.inflightMessages)],
        [named.dropped, <span class={session.droppedMessages > 0 ? 'bad' : ''}>{count(session.droppedMessages)}</span>],
      ]}
    />
  )
}

function Subscriptions({ clientId, namespace }: Owner) {
  const words = text.clients.subscription
  const { data } = usePolled<Page<Subscription>>(
    pathOf('sessions', clientId, 'subscriptions'),
    { namespace, limit: 200 },
    intervalMs,
  )
  const columns: Column<Subscription>[] = [
    {
      key: 'filter',
      title: words.filter,
      wide: true,
      cell: ({ filter }) => <span class="mono">{shortName(filter)}</span>,
    },
    { key: 'qos', title: words.qos, numeric: true, cell: ({ qos }) => qos },
    {
      key: 'options',
      title: words.options,
      minor: true,
      cell: ({ noLocal, retainAsPublished, retainHandling, identifiers }) =>
        [
          noLocal ? words.noLocal : '',
          retainAsPublished ? words.retainAsPublished : '',
          retainHandling > 0 ? words.retainHandling(String(retainHandling)) : '',
          identifiers.length > 0 ? words.identifiers(identifiers.join(', ')) : '',
        ]
          .filter((one) => one !== '')
          .join(', '),
    },
  ]
  return (
    <Panel title={words.title}>
      {data?.items.length === 0 ? (
        <Empty>{words.none}</Empty>
      ) : (
        <Table label={words.title} columns={columns} rows={data?.items ?? []} keyOf={({ filter }) => filter} />
      )}
    </Panel>
  )
}

function Queue({ clientId, namespace }: Owner) {
  const words = text.clients.queue
  const { data, error } = usePolled<Page<Queued>>(
    pathOf('sessions', clientId, 'queue'),
    { namespace, limit: 50 },
    intervalMs,
  )
  const columns: Column<Queued>[] = [
    {
      key: 'state',
      title: words.state,
      cell: ({ state }) => <span class={state === 'waiting' ? 'tag' : 'tag accent'}>{words.states[state]}</span>,
    },
    {
      key: 'topic',
      title: words.topic,
      wide: true,
      cell: ({ message }) => <span class="mono">{shortName(message?.topic ?? '', 120)}</span>,
    },
    {
      key: 'payload',
      title: words.payload,
      wide: true,
      minor: true,
      cell: ({ message }) => <span class="mono quiet">{shortName(message?.payload ?? '', 80)}</span>,
    },
    { key: 'qos', title: words.qos, numeric: true, cell: ({ qos }) => qos },
    {
      key: 'size',
      title: words.size,
      numeric: true,
      minor: true,
      cell: ({ message }) => bytes(message?.payloadBytes ?? 0),
    },
    {
      key: 'at',
      title: words.at,
      minor: true,
      cell: ({ message }) => (message === null ? '' : moment(message.publishedAt)),
    },
  ]
  return (
    <Panel title={words.title}>
      <Fault error={error?.status === 404 ? undefined : error} />
      {data?.items.length === 0 ? (
        <Empty>{words.none}</Empty>
      ) : (
        <Table
          label={words.title}
          columns={columns}
          rows={data?.items ?? []}
          keyOf={({ position }) => String(position)}
        />
      )}
      {data?.nextCursor !== null && data !== undefined && <p class="panel-body hint">{words.more}</p>}
    </Panel>
  )
}

function Drops({ clientId, namespace }: Owner) {
  const words = text.drops
  // The search finds parts of names too, and takes a blank for two words.
  const word =
    clientId
      .split(/\s/)
      .sort((a, b) => b.length - a.length)[0]
      ?.slice(0, 100) ?? ''
  const { data } = usePolled<Page<Drop>>('/drops', { filter: word, limit: 1000 }, 5000)
  const own = (data?.items ?? []).filter(
    (line) => line.clientId === clientId && (namespace === '' || line.namespace === namespace),
  )
  const columns: Column<Drop>[] = [
    { key: 'reason', title: words.columns.reason, cell: ({ reason }) => reason.replaceAll('_', ' ') },
    {
      key: 'topic',
      title: words.columns.topic,
      wide: true,
      cell: ({ topicPrefix }) => <span class="mono">{shortName(topicPrefix)}</span>,
    },
    { key: 'count', title: words.columns.count, numeric: true, cell: (line) => count(line.count) },
    { key: 'last', title: words.columns.last, minor: true, cell: ({ lastAt }) => moment(lastAt) },
  ]
  return (
    <Panel title={text.clients.drops}>
      {own.length === 0 ? (
        <Empty>{text.clients.dropsNone}</Empty>
      ) : (
        <Table
          label={text.clients.drops}
          columns={columns}
          rows={own}
          keyOf={(line) => `${line.reason} ${line.topicPrefix}`}
        />
      )}
    </Panel>
  )
}
