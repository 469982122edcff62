/** Retained messages: found by a topic filter, one of them whole, one or a whole branch deleted. */
import { useEffect, useState } from 'preact/hooks'
import { Action, NeedsToken } from '../action.tsx'
import { call, type Retained as Message, pathOf, usePolled } from '../api.ts'
import { bytes, count, moment } from '../format.ts'
import { Pager, usePaged } from '../paging.tsx'
import { type Column, Empty, Facts, Fault, Panel, Table, useSettled } from '../parts.tsx'
import { linkTo, replacePlace, usePlace } from '../routes.ts'
import { bytesOf, fullTextOf, previewOf, shortName } from '../shown.ts'
import { text } from '../text/text.ts'

const intervalMs = 5000

export function Retained() {
  const { item, query } = usePlace()
  const filter = query.get('filter') ?? '#'
  const namespace = query.get('namespace') ?? ''
  const words = text.retained
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.retained}</h1>
      </div>
      <NeedsToken />
      {item !== '' && <One topic={item} filter={filter} namespace={namespace} />}
      <p class="hint">{words.system}</p>
      <List filter={filter} namespace={namespace} />
    </>
  )
}

interface ListProps {
  filter: string
  namespace: string
}

function List({ filter, namespace }: ListProps) {
  const [typed, setTyped] = useState(filter)
  const settled = useSettled(typed, 400)
  const paged = usePaged<Message>('/retained', { filter, namespace }, intervalMs)
  const words = text.retained
  useEffect(() => {
    if (settled !== filter) replacePlace(linkTo('retained', '', { filter: settled === '#' ? '' : settled, namespace }))
  }, [settled])
  const remove = async () => {
    const { deleted } = await call<{ deleted: number }>('/retained', { method: 'DELETE', query: { filter, namespace } })
    paged.refresh()
    return words.deleted(count(deleted))
  }
  return (
    <div class="panel">
      <div class="panel-head row">
        <input
          type="search"
          class="mono grow"
          aria-label={words.filter}
          maxLength={1024}
          spellcheck={false}
          value={typed}
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
        <Action
          label={words.deleteAll}
          title={words.deleteAllTitle}
          disabled={paged.items.length === 0 || paged.stale}
          run={remove}
        >
          {words.deleteAllMore} <code>{shortName(filter)}</code>
        </Action>
      </div>
      <Fault error={paged.error} />
      <Table
        label={text.pages.retained}
        columns={columnsOf(filter, namespace)}
        rows={paged.error === undefined ? paged.items : []}
        keyOf={({ topic }) => topic}
        stale={paged.stale}
      />
      {paged.data !== undefined && paged.items.length === 0 && <Empty>{words.none(shortName(filter, 80))}</Empty>}
      <Pager paged={paged} />
    </div>
  )
}

function columnsOf(filter: string, namespace: string): Column<Message>[] {
  const words = text.retained.columns
  const query = { filter: filter === '#' ? '' : filter, namespace }
  return [
    {
      key: 'topic',
      title: words.topic,
      wide: true,
      cell: ({ topic }) => <a href={linkTo('retained', topic, query)}>{shortName(topic, 120)}</a>,
    },
    {
      key: 'payload',
      title: words.payload,
      wide: true,
      cell: (message) => <span class="mono quiet">{previewOf(payloadOf(message), 80)}</span>,
    },
    { key: 'size', title: words.size, numeric: true, minor: true, cell: ({ payloadBytes }) => bytes(payloadBytes) },
    { key: 'qos', title: words.qos, numeric: true, minor: true, cell: ({ qos }) => qos },
    {
      key: 'publisher',
      title: words.publisher,
      minor: true,
      cell: ({ publisher }) => (publisher === '' ? text.common.none : shortName(publisher, 40)),
    },
    { key: 'at', title: words.at, minor: true, cell: ({ publishedAt }) => moment(publishedAt) },
  ]
}

function payloadOf({ payload, payloadEncoding, payloadBytes }: Message) {
  return { bytes: bytesOf(payload, payloadEncoding), size: payloadBytes }
}

function One({ topic, filter, namespace }: ListProps & { topic: string }) {
  const { data, error, refresh } = usePolled<Message>(pathOf('retained', topic), { namespace }, intervalMs)
  const words = text.retained
  const remove = async () => {
    await call(pathOf('retained', topic), { method: 'DELETE', query: { namespace } })
    refresh()
    return words.deletedOne
  }
  const back = linkTo('retained', '', { filter: filter === '#' ? '' : filter, namespace })
  return (
    <Panel
      title={shortName(topic, 120)}
      side={
        <div class="row">
          <Action label={words.delete} title={words.deleteTitle} disabled={error !== undefined} run={remove}>
            <code>{shortName(topic)}</code> {words.deleteMore}
          </Action>
          <a href={back}>{text.common.close}</a>
        </div>
      }
    >
      {error !== undefined || data === undefined ? (
        <Empty>{error?.status === 404 ? words.gone : error === undefined ? text.common.loading : error.message}</Empty>
      ) : (
        <div class="panel-body stack">
          <pre class="value">{data.payloadBytes === 0 ? text.common.empty : fullTextOf(shortened(data))}</pre>
          {data.payloadBytes > shownBytesMax && <p class="hint">{text.common.cut(bytes(data.payloadBytes))}</p>}
          <Facts
            facts={[
              [words.columns.at, moment(data.publishedAt)],
              [words.columns.publisher, data.publisher === '' ? text.common.none : shortName(data.publisher)],
              [words.columns.qos, String(data.qos)],
              [words.columns.size, bytes(data.payloadBytes)],
              [words.expires, data.expiresAt === null ? text.common.never : moment(data.expiresAt)],
            ]}
          />
        </div>
      )}
    </Panel>
  )
}

/** More would make the browser slow and nobody wiser. */
const shownBytesMax = 64 * 1024

function shortened(message: Message) {
  const { bytes: all, size } = payloadOf(message)
  return { bytes: all.subarray(0, shownBytesMax), size }
}
