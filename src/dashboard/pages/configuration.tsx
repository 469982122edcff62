/** The configuration in force, option by option, with where each value comes from. Read only: it is changed where it stands. */
import { useState } from 'preact/hooks'
import { type Option, usePolled } from '../api.ts'
import { type Column, Empty, Fault, Search, Table } from '../parts.tsx'
import { visible } from '../shown.ts'
import { text } from '../text/text.ts'

const intervalMs = 15_000

export function Configuration() {
  const { data, error } = usePolled<{ items: Option[] }>('/configuration', {}, intervalMs)
  const [search, setSearch] = useState('')
  const [given, setGiven] = useState(false)
  const words = text.configuration
  const sought = search.toLowerCase()
  const rows = (data?.items ?? []).filter(
    ({ path, value, source }) =>
      (!given || source !== null) && `${path} ${written(value)}`.toLowerCase().includes(sought),
  )
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.configuration}</h1>
        <fieldset class="choice" aria-label={words.which}>
          <button type="button" aria-pressed={!given} onClick={() => setGiven(false)}>
            {words.all}
          </button>
          <button type="button" aria-pressed={given} onClick={() => setGiven(true)}>
            {words.given}
          </button>
        </fieldset>
      </div>
      <p class="hint">
        {words.more} <code>mqtide reload</code>
      </p>
      <div class="panel">
        <div class="panel-head">
          <Search value={search} onInput={setSearch} />
        </div>
        <Fault error={error} />
        <Table label={text.pages.configuration} columns={columns()} rows={rows} keyOf={({ path }) => path} />
        {data !== undefined && rows.length === 0 && <Empty>{words.none}</Empty>}
      </div>
    </>
  )
}

function columns(): Column<Option>[] {
  const words = text.configuration
  return [
    { key: 'path', title: words.option, wide: true, cell: ({ path }) => <span class="mono">{visible(path)}</span> },
    { key: 'value', title: words.value, wide: true, cell: ({ value }) => <span class="mono">{written(value)}</span> },
    {
      key: 'source',
      title: words.source,
      minor: true,
      cell: ({ source }) => (source === null ? <span class="quiet">{words.default}</span> : visible(source)),
    },
  ]
}

function written(value: unknown): string {
  return visible(typeof value === 'string' ? value : JSON.stringify(value)).slice(0, 500)
}
