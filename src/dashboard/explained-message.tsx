/** What became of one message, from the rule that let it in to each recipient's acknowledgement. */
import type { Explanation } from './api.ts'
import { count } from './format.ts'
import { type Column, Facts, Table } from './parts.tsx'
import { linkTo } from './routes.ts'
import { shortName } from './shown.ts'
import { text } from './text/text.ts'

type Recipient = Explanation['recipients'][number]

export function ExplainedMessage({ explained }: { explained: Explanation }) {
  const words = text.explain.result
  const others = Object.entries(explained.others)
  return (
    <div class="stack">
      <Facts
        facts={[
          [
            words.outcome,
            <span class={explained.outcome === 'delivered' ? 'tag good' : 'tag bad'}>{explained.outcome}</span>,
          ],
          [words.rule, explained.rule === '' ? text.common.none : explained.rule],
          [words.route, words.matches(count(explained.route.subscriptions), count(explained.route.groups))],
          [
            words.commit,
            explained.commit === 'committed' ? words.after(count(explained.commitAfterMs)) : explained.commit,
          ],
        ]}
      />
      {explained.recipients.length > 0 && (
        <Table
          label={words.recipients}
          columns={columns()}
          rows={explained.recipients}
          keyOf={({ kind, name, filter, group }) => JSON.stringify([kind, name, filter, group])}
        />
      )}
      {others.length > 0 && (
        <p class="hint">{others.map(([state, many]) => `${count(many)} × ${state.replaceAll('_', ' ')}`).join(', ')}</p>
      )}
    </div>
  )
}

function columns(): Column<Recipient>[] {
  const words = text.explain.result
  return [
    {
      key: 'name',
      title: words.recipient,
      wide: true,
      cell: ({ kind, name }) =>
        kind === 'client' ? (
          <a href={linkTo('clients', name)}>{shortName(name, 60)}</a>
        ) : (
          shortName(`${kind} ${name}`, 60)
        ),
    },
    {
      key: 'filter',
      title: words.filter,
      minor: true,
      cell: ({ filter }) => <span class="mono">{shortName(filter, 60)}</span>,
    },
    {
      key: 'state',
      title: words.state,
      cell: ({ state, because, rule }) => (
        <>
          <span class="tag">{state.replaceAll('_', ' ')}</span>{' '}
          <small>{[because, rule].filter(Boolean).join(', ')}</small>
        </>
      ),
    },
    { key: 'after', title: words.afterMs, numeric: true, cell: ({ afterMs }) => `${count(afterMs)} ms` },
  ]
}
