/** Streams: what they hold and who reads; one of them read from any place on, groups moved, all of it let go. */
import { useState } from 'preact/hooks'
import { Action, NeedsToken } from '../action.tsx'
import { call, pathOf, usePolled } from '../api.ts'
import { bytesColumn, DeclaredList, DetailsHead, intervalMs, messageColumns, nameColumn } from '../declared.tsx'
import { bytes, count, moment, since } from '../format.ts'
import { Pager, usePaged } from '../paging.tsx'
import { type Column, Empty, Facts, Fault, Field, Panel, Table, useSettled } from '../parts.tsx'
import { linkTo, usePlace } from '../routes.ts'
import { shortName } from '../shown.ts'
import type { Stream, StreamDetails, StreamGroup, StreamMessage, StreamReader } from '../stream-types.ts'
import { text } from '../text/text.ts'

export function Streams() {
  const { item, query } = usePlace()
  if (item !== '') return <Details name={item} namespace={query.get('namespace') ?? ''} />
  const [filter, sort] = [query.get('filter') ?? '', query.get('sort') ?? 'name']
  return <DeclaredList page="streams" columns={streamColumns()} filter={filter} sort={sort} words={text.streams} />
}

function streamColumns(): Column<Stream>[] {
  const words = text.streams.columns
  const numbers = ['messages', 'readers', 'groups'] as const
  return [
    nameColumn('streams', words.name, text.streams.undeclared),
    ...numbers.map((key): Column<Stream> => {
      return { key, title: words[key], sort: key, numeric: true, cell: (stream) => count(stream[key]) }
    }),
    bytesColumn(words.bytes),
    { key: 'next', title: words.next, numeric: true, minor: true, cell: ({ nextOffset }) => count(nextOffset) },
    { key: 'oldestAt', title: words.oldest, sort: 'oldestAt', minor: true, cell: ({ oldestAt }) => ago(oldestAt) },
  ]
}

const ago = (time: string | null) => (time === null ? text.common.none : since(time))

interface Named {
  name: string
  /** Empty: the default one, or that of the token. */
  namespace: string
}

function Details({ name, namespace }: Named) {
  const { data, error, refresh } = usePolled<StreamDetails>(pathOf('streams', name), { namespace }, intervalMs)
  const words = text.streams
  return (
    <>
      <DetailsHead page="streams" name={name}>
        <Trim name={name} namespace={namespace} onDone={refresh} />
      </DetailsHead>
      <NeedsToken />
      {error?.status === 404 ? <Empty>{words.gone}</Empty> : <Fault error={error} />}
      {data !== undefined && <State stream={data} />}
      <Groups name={name} namespace={namespace} groups={data?.groupList ?? []} onDone={refresh} />
      <Readers readers={data?.readerList ?? []} namespace={namespace} />
      <Replay name={name} namespace={namespace} />
    </>
  )
}

function State({ stream }: { stream: StreamDetails }) {
  const words = text.streams
  const shown = ['appended', 'delivered', 'trimmed', 'missed', 'refused'] as const
  return (
    <div class="columns">
      <Panel title={words.state}>
        <Facts
          facts={[
            [words.address, <span class="mono">{shortName(stream.address)}</span>],
            [words.filter, <span class="mono">{shortName(stream.filter)}</span>],
            [words.columns.messages, count(stream.messages)],
            [words.columns.bytes, bytes(stream.bytes)],
            [words.columns.first, count(stream.firstOffset)],
            [words.columns.next, count(stream.nextOffset)],
            [words.columns.oldest, ago(stream.oldestAt)],
            [words.columns.newest, ago(stream.newestAt)],
          ]}
        />
      </Panel>
      <Panel title={words.totals.title}>
        <Facts facts={shown.map((key) => [words.totals[key], count(stream.totals[key])] as const)} />
      </Panel>
    </div>
  )
}

function Trim({ name, namespace, onDone }: Named & { onDone(): void }) {
  const words = text.streams
  const trim = async () => {
    const body = { before: 'latest' }
    const path = `${pathOf('streams', name)}/trim`
    const { trimmed } = await call<{ trimmed: number }>(path, { method: 'POST', query: { namespace }, body })
    onDone()
    return words.trimmed(count(trimmed))
  }
  return (
    <Action label={words.trim} title={words.trimTitle} run={trim}>
      <code>{shortName(name)}</code> {words.trimMore}
    </Action>
  )
}

function Groups(props: Named & { groups: readonly StreamGroup[]; onDone(): void }) {
  const words = text.streams.groups
  const columns: Column<StreamGroup>[] = [
    { key: 'group', title: words.group, wide: true, cell: ({ group }) => shortName(group, 80) },
    {
      key: 'filter',
      title: words.filter,
      minor: true,
      cell: ({ filter }) => (filter === null ? words.all : <span class="mono">{shortName(filter, 60)}</span>),
    },
    { key: 'cursor', title: words.cursor, numeric: true, cell: ({ cursor }) => count(cursor) },
    { key: 'lag', title: words.lag, numeric: true, cell: ({ lag }) => count(lag) },
    { key: 'members', title: words.members, numeric: true, cell: ({ members }) => count(members) },
    { key: 'actions', title: words.actions, cell: (group) => <GroupActions {...props} group={group} /> },
  ]
  return (
    <Panel title={words.title}>
      {props.groups.length === 0 ? (
        <Empty>{words.none}</Empty>
      ) : (
        <Table
          label={words.title}
          columns={columns}
          rows={props.groups}
          keyOf={({ group, filter }) => `${group}\n${filter ?? ''}`}
        />
      )}
    </Panel>
  )
}

function GroupActions({ name, namespace, group, onDone }: Named & { group: StreamGroup; onDone(): void }) {
  const [to, setTo] = useState('earliest')
  const words = text.streams.groups
  const path = `${pathOf('streams', name)}/cursors`
  const named = { group: group.group, ...(group.filter !== null && { filter: group.filter }) }
  const move = async () => {
    const body = { ...named, to }
    const { cursor } = await call<StreamGroup>(path, { method: 'PUT', query: { namespace }, body })
    onDone()
    return words.moved(count(cursor))
  }
  const remove = async () => {
    await call(path, { method: 'DELETE', query: { ...named, namespace } })
    onDone()
    return words.removed
  }
  return (
    <div class="row">
      <Action label={words.move} title={words.moveTitle} run={move}>
        <code>{shortName(group.group)}</code> {words.moveMore}
        <From label={text.streams.messages.from} value={to} onInput={setTo} />
      </Action>
      <Action label={words.remove} title={words.removeTitle} disabled={group.members > 0} run={remove}>
        <code>{shortName(group.group)}</code> {words.removeMore}
      </Action>
    </div>
  )
}

/** A place in a stream, in words. */
function From({ label, value, onInput }: { label: string; value: string; onInput(value: string): void }) {
  return (
    <Field label={label} hint={text.streams.messages.fromHint}>
      {(id, hintId) => (
        <input
          id={id}
          aria-describedby={hintId}
          class="mono"
          maxLength={100}
          spellcheck={false}
          value={value}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  )
}

function Readers({ readers, namespace }: { readers: readonly StreamReader[]; namespace: string }) {
  const words = text.streams.readers
  const columns: Column<StreamReader>[] = [
    {
      key: 'client',
      title: words.client,
      wide: true,
      cell: ({ clientId }) => <a href={linkTo('clients', clientId, { namespace })}>{shortName(clientId, 80)}</a>,
    },
    {
      key: 'state',
      title: words.state,
      cell: ({ connected }) => (
        <span class={connected ? 'tag good' : 'tag'}>{connected ? words.connected : words.away}</span>
      ),
    },
    {
      key: 'group',
      title: words.group,
      minor: true,
      cell: ({ group }) => (group === null ? '' : shortName(group, 60)),
    },
    { key: 'lag', title: words.lag, numeric: true, cell: ({ lag }) => count(lag) },
  ]
  return (
    <Panel title={words.title}>
      {readers.length === 0 ? (
        <Empty>{words.none}</Empty>
      ) : (
        <Table
          label={words.title}
          columns={columns}
          rows={readers}
          keyOf={({ clientId, group, filter }) => `${clientId}\n${group ?? ''}\n${filter ?? ''}`}
        />
      )}
    </Panel>
  )
}

function Replay({ name, namespace }: Named) {
  const [from, setFrom] = useState('earliest')
  const [filter, setFilter] = useState('')
  const query = { namespace, from: useSettled(from, 400) || 'earliest', filter: useSettled(filter, 400) }
  const paged = usePaged<StreamMessage>(pathOf('streams', name, 'messages'), query, intervalMs)
  const words = text.streams.messages
  const columns: Column<StreamMessage>[] = [
    { key: 'offset', title: words.offset, numeric: true, cell: ({ offset }) => count(offset) },
    ...messageColumns<StreamMessage>(words),
    { key: 'at', title: words.at, minor: true, cell: ({ at }) => moment(at) },
  ]
  return (
    <Panel title={words.title}>
      <div class="row">
        <From label={words.from} value={from} onInput={setFrom} />
        <Field label={words.topics} class="grow">
          {(id) => (
            <input
              id={id}
              class="mono"
              placeholder="#"
              maxLength={1024}
              spellcheck={false}
              value={filter}
              onInput={(event) => setFilter(event.currentTarget.value)}
            />
          )}
        </Field>
      </div>
      <Fault error={paged.error?.status === 404 ? undefined : paged.error} />
      {paged.data !== undefined && paged.items.length === 0 ? (
        <Empty>{words.none}</Empty>
      ) : (
        <Table
          label={words.title}
          columns={columns}
          rows={paged.items}
          keyOf={({ offset }) => String(offset)}
          stale={paged.stale}
        />
      )}
      <Pager paged={paged} />
    </Panel>
  )
}
