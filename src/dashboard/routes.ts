/**
 * Where in the page one is, behind the `#` of the address: `#/clients/pump-7?sort=-queuedMessages`. The gateway sees none of it,
 * so every link can be kept, sent and opened again.
 */
import { useEffect, useState } from 'preact/hooks'

export interface Place {
  page: string
  /** What follows the page, decoded; empty: nothing. */
  item: string
  query: URLSearchParams
}

export function placeOf(hash: string): Place {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s)
  const [page = '', ...rest] = path.split('/')
  return { page, item: decoded(rest.join('/')), query: new URLSearchParams(query) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export function linkTo(page: string, item = '', query: Readonly<Record<string, string>> = {}): string {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString()
  return `#/${page}${item === '' ? '' : `/${encodeURIComponent(item)}`}${words === '' ? '' : `?${words}`}`
}

/** Without an entry of its own in the browser's history: as of a search that is being typed. */
export function replacePlace(link: string): void {
  history.replaceState(null, '', link)
  window.dispatchEvent(new HashChangeEvent('hashchange'))
}

export function usePlace(): Place {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const onChange = () => setHash(location.hash)
    window.addEventListener('hashchange', onChange)
    return () => window.removeEventListener('hashchange', onChange)
  }, [])
  return placeOf(hash)
}
