/** Who did not get what, why and when: the drop ledger. */
import { useEffect, useState } from 'preact/hooks'
import type { Drop } from '../api.ts'
import { count, moment, since } from '../format.ts'
import { Pager, usePaged } from '../paging.tsx'
import { type Column, Empty, Fault, Search, Table, useSettled } from '../parts.tsx'
import { linkTo, replacePlace, usePlace } from '../routes.ts'
import { shortName } from '../shown.ts'
import { text } from '../text/text.ts'

const intervalMs = 3000

export function Drops() {
  const { query } = usePlace()
  const filter = query.get('filter') ?? ''
  const sort = query.get('sort') ?? '-lastAt'
  const [typed, setTyped] = useState(filter)
  const settled = useSettled(typed)
  const paged = usePaged<Drop>('/drops', { filter, sort }, intervalMs)
  const linesLost = (paged.data as { linesLost?: number } | undefined)?.linesLost ?? 0
  const words = text.drops
  const go = (changes: Readonly<Record<string, string>>) =>
    replacePlace(linkTo('drops', '', { filter, sort: sort === '-lastAt' ? '' : sort, ...changes }))
  useEffect(() => {
    if (settled !== filter) go({ filter: settled })
  }, [settled])
  // Come to by a link from the overview.
  useEffect(() => setTyped(filter), [filter])
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.drops}</h1>
      </div>
      <div class="panel">
        <div class="panel-head">
          <Search value={typed} onInput={setTyped} placeholder={words.search} />
        </div>
        <Fault error={paged.error} />
        <Table
          label={text.pages.drops}
          columns={columns()}
          rows={paged.items}
          keyOf={({ namespace, clientId, reason, topicPrefix }) =>
            JSON.stringify([namespace, clientId, reason, topicPrefix])
          }
          sort={sort}
          onSort={(by) => go({ sort: by })}
          stale={paged.stale}
        />
        {paged.data !== undefined && paged.items.length === 0 && (
          <Empty>{filter === '' ? words.none : words.notFound(shortName(filter, 80))}</Empty>
        )}
        {linesLost > 0 && <p class="panel-body hint">{words.linesLost(count(linesLost))}</p>}
        <Pager paged={paged} />
      </div>
    </>
  )
}

function columns(): Column<Drop>[] {
  const words = text.drops
  return [
    {
      key: 'client',
      title: words.columns.client,
      sort: 'clientId',
      wide: true,
      cell: ({ clientId, namespace }) =>
        clientId === '' ? (
          <span class="quiet">{words.nobody}</span>
        ) : (
          <a href={linkTo('clients', clientId, { namespace: namespace === 'default' ? '' : namespace })}>
            {shortName(clientId, 80)}
          </a>
        ),
    },
    {
      key: 'reason',
      title: words.columns.reason,
      sort: 'reason',
      cell: ({ reason }) => <span class="tag bad">{reason.replaceAll('_', ' ')}</span>,
    },
    {
      key: 'topic',
      title: words.columns.topic,
      wide: true,
      cell: ({ topicPrefix }) => <span class="mono">{shortName(topicPrefix, 80)}</span>,
    },
    { key: 'count', title: words.columns.count, sort: 'count', numeric: true, cell: (line) => count(line.count) },
    {
      key: 'first',
      title: words.columns.first,
      sort: 'firstAt',
      minor: true,
      cell: ({ firstAt }) => moment(firstAt),
    },
    {
      key: 'last',
      title: words.columns.last,
      sort: 'lastAt',
      cell: ({ lastAt }) => <span title={moment(lastAt)}>{text.topics.ago(since(lastAt))}</span>,
    },
  ]
}
