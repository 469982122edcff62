/** Bridges: whether they are connected, what waits for the other broker, and why one is not; one of them with its topics. */
import { useEffect, useState } from 'preact/hooks'
import { Action, NeedsToken } from '../action.tsx'
import { call, pathOf, usePolled } from '../api.ts'
import type { Bridge, BridgeDetails, BridgeTopic } from '../bridge-types.ts'
import { bytes, count, moment, since } from '../format.ts'
import { Pager, usePaged } from '../paging.tsx'
import { type Column, Empty, Facts, Fault, Panel, Search, Table, useSettled } from '../parts.tsx'
import { linkTo, replacePlace, usePlace } from '../routes.ts'
import { shortName } from '../shown.ts'
import { text } from '../text/text.ts'

const intervalMs = 2000

export function Bridges() {
  const { item, query } = usePlace()
  if (item !== '') return <Details name={item} namespace={query.get('namespace') ?? ''} />
  return <List filter={query.get('filter') ?? ''} sort={query.get('sort') ?? 'name'} />
}

function List({ filter, sort }: { filter: string; sort: string }) {
  const [typed, setTyped] = useState(filter)
  const settled = useSettled(typed)
  const paged = usePaged<Bridge>('/bridges', { filter, sort }, intervalMs)
  const go = (changes: Readonly<Record<string, string>>) =>
    replacePlace(linkTo('bridges', '', { filter, sort: sort === 'name' ? '' : sort, ...changes }))
  useEffect(() => {
    if (settled !== filter) go({ filter: settled })
  }, [settled])
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.bridges}</h1>
      </div>
      <div class="panel">
        <div class="panel-head">
          <Search value={typed} onInput={setTyped} />
        </div>
        <Fault error={paged.error} />
        <Table
          label={text.pages.bridges}
          columns={bridgeColumns()}
          rows={paged.items}
          keyOf={({ namespace, name }) => `${namespace}\n${name}`}
          sort={sort}
          onSort={(by) => go({ sort: by })}
          stale={paged.stale}
        />
        {paged.data !== undefined && paged.items.length === 0 && (
          <Empty>{filter === '' ? text.bridges.none : text.bridges.notFound(shortName(filter, 80))}</Empty>
        )}
        <Pager paged={paged} />
      </div>
    </>
  )
}

function bridgeColumns(): Column<Bridge>[] {
  const words = text.bridges.columns
  const numbers = ['waiting', 'sent', 'received'] as const
  return [
    {
      key: 'name',
      title: words.name,
      sort: 'name',
      wide: true,
      cell: ({ name, namespace }) => (
        <>
          <a href={linkTo('bridges', name, { namespace: namespace === 'default' ? '' : namespace })}>{name}</a>{' '}
          {namespace !== 'default' && <span class="tag">{shortName(namespace, 40)}</span>}
        </>
      ),
    },
    { key: 'state', title: words.state, sort: 'state', cell: ({ state }) => <State state={state} /> },
    { key: 'url', title: words.url, minor: true, cell: ({ url }) => <span class="mono">{shortName(url, 60)}</span> },
    ...numbers.map((key): Column<Bridge> => {
      return { key, title: words[key], sort: key, numeric: true, cell: (bridge) => count(bridge[key]) }
    }),
    {
      key: 'failure',
      title: words.failure,
      minor: true,
      cell: ({ lastFailure, state }) =>
        lastFailure === null || state === 'connected' ? (
          text.common.none
        ) : (
          <span class="bad">{shortName(lastFailure.text, 100)}</span>
        ),
    },
  ]
}

function State({ state }: Pick<Bridge, 'state'>) {
  const kind = state === 'connected' ? 'tag good' : state === 'connecting' ? 'tag' : 'tag bad'
  return <span class={kind}>{text.bridges.states[state]}</span>
}

function Details({ name, namespace }: { name: string; namespace: string }) {
  const { data, error, refresh } = usePolled<BridgeDetails>(pathOf('bridges', name), { namespace }, intervalMs)
  const words = text.bridges
  const restart = async () => {
    await call(`${pathOf('bridges', name)}/restart`, { method: 'POST', query: { namespace } })
    refresh()
    return words.restarted
  }
  return (
    <>
      <div class="page-head">
        <div>
          <a href={linkTo('bridges')}>{text.pages.bridges}</a>
          <h1>{shortName(name)}</h1>
        </div>
        <Action label={words.restart} title={words.restartTitle} run={restart}>
          {words.restartMore}
        </Action>
      </div>
      <NeedsToken />
      {error?.status === 404 ? <Empty>{words.gone}</Empty> : <Fault error={error} />}
      {data !== undefined && <Known bridge={data} />}
    </>
  )
}

function Known({ bridge }: { bridge: BridgeDetails }) {
  const words = text.bridges
  const { lastFailure } = bridge
  const reasons = (['skippedOut', 'skippedIn', 'refused', 'failures'] as const).flatMap((key) =>
    Object.entries(bridge[key]).map(([reason, times]) => [`${words.counted[key]}: ${reason}`, count(times)] as const),
  )
  return (
    <>
      <div class="columns">
        <Panel title={words.columns.state}>
          <Facts
            facts={[
              [words.columns.state, <State state={bridge.state} />],
              [words.columns.url, <span class="mono">{shortName(bridge.url)}</span>],
              [words.clientId, <span class="mono">{shortName(bridge.clientId)}</span>],
              [words.since, bridge.connectedAt === null ? text.common.none : since(bridge.connectedAt)],
              [words.next, bridge.nextAttemptAt === null ? text.common.none : moment(bridge.nextAttemptAt)],
              [words.columns.failure, lastFailure === null ? text.common.none : shortName(lastFailure.text, 300)],
              [words.failedAt, lastFailure === null ? text.common.none : since(lastFailure.at)],
            ]}
          />
        </Panel>
        <Panel title={words.messages}>
          <Facts
            facts={[
              [words.columns.waiting, `${count(bridge.waiting)} (${bytes(bridge.waitingBytes)})`],
              [words.inflight, count(bridge.inflight)],
              [words.columns.sent, count(bridge.sent)],
              [words.columns.received, count(bridge.received)],
              [words.dropped, count(bridge.dropped)],
              ...reasons,
            ]}
          />
        </Panel>
      </div>
      <Panel title={words.topics.title}>
        <Table
          label={words.topics.title}
          columns={topicColumns()}
          rows={bridge.topics}
          keyOf={(topic) => JSON.stringify(topic)}
        />
      </Panel>
    </>
  )
}

function topicColumns(): Column<BridgeTopic>[] {
  const words = text.bridges.topics
  const mono = (value: string) => <span class="mono">{value === '' ? text.common.none : shortName(value, 80)}</span>
  return [
    { key: 'filter', title: words.filter, wide: true, cell: ({ filter }) => mono(filter) },
    { key: 'direction', title: words.direction, cell: ({ direction }) => words.directions[direction] },
    { key: 'qos', title: 'QoS', numeric: true, cell: ({ qos }) => String(qos) },
    { key: 'local', title: words.localPrefix, cell: ({ localPrefix }) => mono(localPrefix) },
    { key: 'remote', title: words.remotePrefix, cell: ({ remotePrefix }) => mono(remotePrefix) },
    { key: 'except', title: words.except, minor: true, cell: ({ except }) => mono(except.join(', ')) },
  ]
}
