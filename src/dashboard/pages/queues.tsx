/** Queues: what is ready, with a consumer and waiting, and who works; one of them with its messages, dead letters given back. */
import { Action, NeedsToken } from '../action.tsx'
import { call, type Page, pathOf, usePolled } from '../api.ts'
import { bytesColumn, DeclaredList, DetailsHead, intervalMs, messageColumns, nameColumn } from '../declared.tsx'
import { bytes, count, moment, since } from '../format.ts'
import { type Column, Empty, Facts, Fault, Panel, Table } from '../parts.tsx'
import type { Queue, QueueDetails, QueueMessage } from '../queue-types.ts'
import { linkTo, usePlace } from '../routes.ts'
import { shortName } from '../shown.ts'
import { text } from '../text/text.ts'

export function Queues() {
  const { item, query } = usePlace()
  if (item !== '') return <Details name={item} namespace={query.get('namespace') ?? ''} />
  const [filter, sort] = [query.get('filter') ?? '', query.get('sort') ?? 'name']
  return <DeclaredList page="queues" columns={queueColumns()} filter={filter} sort={sort} words={text.queues} />
}

function queueColumns(): Column<Queue>[] {
  const words = text.queues.columns
  const numbers = ['ready', 'leased', 'waiting', 'consumers'] as const
  return [
    nameColumn('queues', words.name, text.queues.undeclared),
    ...numbers.map((key): Column<Queue> => {
      return { key, title: words[key], sort: key, numeric: true, cell: (queue) => count(queue[key]) }
    }),
    bytesColumn(words.bytes),
    {
      key: 'oldestAt',
      title: words.oldest,
      sort: 'oldestAt',
      minor: true,
      cell: ({ oldestAt }) => (oldestAt === null ? text.common.none : since(oldestAt)),
    },
    {
      key: 'dead',
      title: words.dead,
      numeric: true,
      minor: true,
      cell: ({ totals }) => <span class={totals.deadLettered > 0 ? 'bad' : ''}>{count(totals.deadLettered)}</span>,
    },
  ]
}

interface Named {
  name: string
  /** Empty: the default one, or that of the token. */
  namespace: string
}

function Details({ name, namespace }: Named) {
  const { data, error, refresh } = usePolled<QueueDetails>(pathOf('queues', name), { namespace }, intervalMs)
  const words = text.queues
  return (
    <>
      <DetailsHead page="queues" name={name}>
        <Buttons name={name} namespace={namespace} onDone={refresh} />
      </DetailsHead>
      <NeedsToken />
      {error?.status === 404 ? <Empty>{words.gone}</Empty> : <Fault error={error} />}
      {data !== undefined && (
        <div class="columns">
          <Panel title={words.state}>
            <Facts
              facts={[
                [words.address, <span class="mono">{shortName(data.address)}</span>],
                [
                  words.filter,
                  <span class="mono">{data.filter === null ? text.common.none : shortName(data.filter)}</span>,
                ],
                [words.columns.ready, count(data.ready)],
                [words.columns.leased, count(data.leased)],
                [words.columns.waiting, count(data.waiting)],
                [words.columns.bytes, bytes(data.bytes)],
                [words.columns.oldest, data.oldestAt === null ? text.common.none : since(data.oldestAt)],
              ]}
            />
          </Panel>
          <Totals totals={data.totals} />
        </div>
      )}
      <Consumers consumers={data?.consumerList ?? []} namespace={namespace} />
      <Messages name={name} namespace={namespace} />
    </>
  )
}

function Totals({ totals }: { totals: Queue['totals'] }) {
  const words = text.queues.totals
  const shown = ['enqueued', 'settled', 'retried', 'deadLettered', 'redriven', 'dropped', 'refused'] as const
  return (
    <Panel title={words.title}>
      <Facts facts={shown.map((key) => [words[key], count(totals[key])] as const)} />
    </Panel>
  )
}

function Buttons({ name, namespace, onDone }: Named & { onDone(): void }) {
  const words = text.queues
  const redrive = async () => {
    const path = `${pathOf('queues', name)}/redrive`
    const { redriven } = await call<{ redriven: number }>(path, { method: 'POST', query: { namespace }, body: {} })
    onDone()
    return words.redriven(count(redriven))
  }
  const purge = async () => {
    const path = pathOf('queues', name, 'messages')
    const { purged } = await call<{ purged: number }>(path, { method: 'DELETE', query: { namespace } })
    onDone()
    return words.purged(count(purged))
  }
  return (
    <div class="row">
      <Action label={words.redrive} title={words.redriveTitle} run={redrive}>
        {words.redriveMore}
      </Action>
      <Action label={words.purge} title={words.purgeTitle} run={purge}>
        <code>{shortName(name)}</code> {words.purgeMore}
      </Action>
    </div>
  )
}

type Consumer = QueueDetails['consumerList'][number]

function Consumers({ consumers, namespace }: { consumers: readonly Consumer[]; namespace: string }) {
  const words = text.queues.consumers
  const columns: Column<Consumer>[] = [
    {
      key: 'client',
      title: words.client,
      wide: true,
      cell: ({ clientId }) => <a href={linkTo('clients', clientId, { namespace })}>{shortName(clientId, 80)}</a>,
    },
    {
      key: 'state',
      title: words.state,
      cell: ({ connected, paused }) => (
        <span class={connected && !paused ? 'tag good' : 'tag'}>
          {paused ? words.paused : connected ? words.connected : words.away}
        </span>
      ),
    },
    { key: 'leased', title: words.leased, numeric: true, cell: ({ leased }) => count(leased) },
    { key: 'prefetch', title: words.prefetch, numeric: true, minor: true, cell: ({ prefetch }) => count(prefetch) },
  ]
  return (
    <Panel title={words.title}>
      {consumers.length === 0 ? (
        <Empty>{words.none}</Empty>
      ) : (
        <Table label={words.title} columns={columns} rows={consumers} keyOf={({ clientId }) => clientId} />
      )}
    </Panel>
  )
}

function Messages({ name, namespace }: Named) {
  const words = text.queues.messages
  const path = pathOf('queues', name, 'messages')
  const { data, error } = usePolled<Page<QueueMessage>>(path, { namespace, limit: 50 }, intervalMs)
  const columns: Column<QueueMessage>[] = [
    { key: 'state', title: words.state, cell: ({ state }) => <span class="tag">{words.states[state]}</span> },
    ...messageColumns<QueueMessage>(words),
    { key: 'attempt', title: words.attempt, numeric: true, cell: ({ attempt }) => count(attempt) },
    {
      key: 'dead',
      title: words.dead,
      minor: true,
      cell: ({ deadLetter }) =>
        deadLetter === null ? (
          ''
        ) : (
          <span class="tag bad">{shortName(`${deadLetter.queue}: ${deadLetter.reason}`, 60)}</span>
        ),
    },
    { key: 'at', title: words.at, minor: true, cell: ({ message }) => moment(message.publishedAt) },
  ]
  return (
    <Panel title={words.title}>
      <Fault error={error?.status === 404 ? undefined : error} />
      {data?.items.length === 0 ? (
        <Empty>{words.none}</Empty>
      ) : (
        <Table label={words.title} columns={columns} rows={data?.items ?? []} keyOf={({ delivery }) => delivery} />
      )}
    </Panel>
  )
}
