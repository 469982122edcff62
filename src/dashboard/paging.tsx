/** Long lists page by page, by the API's cursors. */
import { useState } from 'preact/hooks'
import { type Page, type Polled, usePolled } from './api.ts'
import { text } from './text/text.ts'

export const rowsPerPage = 100

export interface Paged<Item> extends Polled<Page<Item>> {
  items: readonly Item[]
  number: number
  onPrevious: (() => void) | undefined
  onNext: (() => void) | undefined
}

/** Another question begins at the first page. */
export function usePaged<Item>(path: string, query: Readonly<Record<string, string>>, intervalMs: number): Paged<Item> {
  const key = JSON.stringify([path, query])
  const [place, setPlace] = useState<{ key: string; cursors: readonly string[] }>({ key, cursors: [] })
  const cursors = place.key === key ? place.cursors : []
  const polled = usePolled<Page<Item>>(path, { ...query, limit: rowsPerPage, cursor: cursors.at(-1) }, intervalMs)
  const next = polled.data?.nextCursor ?? null
  const go = (to: readonly string[]) => setPlace({ key, cursors: to })
  return {
    ...polled,
    items: polled.data?.items ?? [],
    number: cursors.length + 1,
    onPrevious: cursors.length === 0 ? undefined : () => go(cursors.slice(0, -1)),
    onNext: next === null || polled.stale ? undefined : () => go([...cursors, next]),
  }
}

export function Pager<Item>({ paged }: { paged: Paged<Item> }) {
  const { number, onPrevious, onNext } = paged
  if (onPrevious === undefined && onNext === undefined) return null
  return (
    <div class="pager">
      <button type="button" disabled={onPrevious === undefined} onClick={onPrevious}>
        {text.common.previous}
      </button>
      <span role="status">{text.common.page(String(number))}</span>
      <button type="button" disabled={onNext === undefined} onClick={onNext}>
        {text.common.next}
      </button>
    </div>
  )
}
