/** Where clients come in, and the namespaces that they are in. */
import { type Listener, usePolled } from '../api.ts'
import { bytes, count } from '../format.ts'
import { byLabel, type Metrics } from '../metrics.ts'
import { type Column, Empty, Fault, Panel, Table } from '../parts.tsx'
import { linkTo } from '../routes.ts'
import { shortName } from '../shown.ts'
import { text } from '../text/text.ts'

const intervalMs = 3000

export function Listeners() {
  const listeners = usePolled<{ items: Listener[] }>('/listeners', {}, intervalMs)
  const { data } = usePolled<{ metrics: Metrics }>('/metrics', {}, intervalMs)
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.listeners}</h1>
      </div>
      <Fault error={listeners.error} />
      <Panel title={text.listeners.title}>
        <Table
          label={text.listeners.title}
          columns={listenerColumns()}
          rows={listeners.data?.items ?? []}
          keyOf={({ name }) => name}
        />
      </Panel>
      <Namespaces metrics={data?.metrics ?? {}} />
    </>
  )
}

function listenerColumns(): Column<Listener>[] {
  const words = text.listeners.columns
  return [
    {
      key: 'name',
      title: words.name,
      wide: true,
      cell: ({ name }) => <a href={linkTo('clients', '', { filter: `listener:${name}` })}>{shortName(name, 60)}</a>,
    },
    { key: 'kind', title: words.kind, cell: ({ kind }) => <span class="tag accent">{kind}</span> },
    {
      key: 'address',
      title: words.address,
      cell: ({ host, port }) =>
        host === undefined ? text.listeners.unbound : <span class="mono">{addressOf(host, port)}</span>,
    },
    { key: 'durability', title: words.durability, minor: true, cell: ({ durability }) => durability },
    { key: 'clients', title: words.clients, numeric: true, cell: ({ clients }) => count(clients) },
    { key: 'handshakes', title: words.handshakes, numeric: true, minor: true, cell: (row) => count(row.handshakes) },
  ]
}

function addressOf(host: string, port: number | undefined): string {
  if (port === undefined) return host
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

interface Namespace {
  name: string
  figures: Readonly<Record<Figure, number>>
}

const figures = ['clients', 'sessions', 'subscriptions', 'retained_messages', 'queued_bytes', 'refused_total'] as const
type Figure = (typeof figures)[number]

function Namespaces({ metrics }: { metrics: Metrics }) {
  const words = text.listeners.namespaces
  const found = new Map<string, Record<Figure, number>>()
  for (const figure of figures) {
    for (const [name, value] of byLabel(metrics, `mqtt_namespace_${figure}`)) {
      const known = found.get(name) ?? (Object.fromEntries(figures.map((one) => [one, 0])) as Record<Figure, number>)
      found.set(name, known)
      known[figure] = value
    }
  }
  const rows = [...found].map(([name, values]): Namespace => ({ name, figures: values }))
  const columns: Column<Namespace>[] = [
    {
      key: 'name',
      title: words.name,
      wide: true,
      cell: ({ name }) => <a href={linkTo('clients', '', { filter: `namespace:${name}` })}>{shortName(name, 60)}</a>,
    },
    ...figures.map((figure): Column<Namespace> => {
      const write = figure === 'queued_bytes' ? bytes : count
      return {
        key: figure,
        title: words[figure],
        numeric: true,
        minor: figure !== 'clients',
        cell: ({ figures: values }) => write(values[figure]),
      }
    }),
  ]
  return (
    <Panel title={words.title}>
      {rows.length === 0 ? (
        <Empty>{words.none}</Empty>
      ) : (
        <Table label={words.title} columns={columns} rows={rows} keyOf={({ name }) => name} />
      )}
    </Panel>
  )
}
