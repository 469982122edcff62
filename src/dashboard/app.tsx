/** The frame: who asks, the list of pages, and the page that the address names. */
import type { ComponentType } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { type ApiError, login, usePolled } from './api.ts'
import { type Identity, IdentityContext, useIdentity } from './identity.ts'
import { Bridges } from './pages/bridges.tsx'
import { Clients } from './pages/clients.tsx'
import { Configuration } from './pages/configuration.tsx'
import { Console } from './pages/console.tsx'
import { Drops } from './pages/drops.tsx'
import { Explain } from './pages/explain.tsx'
import { Listeners } from './pages/listeners.tsx'
import { Overview } from './pages/overview.tsx'
import { Queues } from './pages/queues.tsx'
import { Retained } from './pages/retained.tsx'
import { Streams } from './pages/streams.tsx'
import { Topics } from './pages/topics.tsx'
import { Trace } from './pages/trace.tsx'
import { linkTo, usePlace } from './routes.ts'
import { chooseLanguage, languageInUse, languages, text } from './text/text.ts'
import { chooseTheme, themeInUse, themes } from './theme.ts'
import { TokenButton, TokenForm } from './token.tsx'

type PageName = keyof typeof text.pages

const pages: Partial<Record<PageName, ComponentType>> = {
  overview: Overview,
  clients: Clients,
  topics: Topics,
  retained: Retained,
  queues: Queues,
  streams: Streams,
  bridges: Bridges,
  drops: Drops,
  console: Console,
  explain: Explain,
  trace: Trace,
  listeners: Listeners,
  configuration: Configuration,
}
/** About all namespaces; a token of one may not see them. */
const wholeGateway: ReadonlySet<PageName> = new Set(['overview', 'listeners', 'configuration'])

function pagesFor(namespace: string | null): PageName[] {
  const names = Object.keys(pages) as PageName[]
  return namespace === null ? names : names.filter((name) => !wholeGateway.has(name))
}

const identityIntervalMs = 10_000

export function App() {
  // With another token it begins anew, so that nothing of what the one before was shown stays.
  const [signIns, setSignIns] = useState(0)
  return <Identified key={signIns} onChange={() => setSignIns((before) => before + 1)} />
}

function Identified({ onChange }: { onChange(): void }) {
  const { data: identity, error } = usePolled<Identity>('/identity', {}, identityIntervalMs)
  if (error !== undefined && (error.status === 401 || error.status === 403)) {
    return <SignIn error={error} onSignedIn={onChange} />
  }
  if (identity === undefined) {
    return <p class="starting">{error === undefined ? text.common.loading : text.frame.unreachable}</p>
  }
  login.noticed(identity)
  return (
    <IdentityContext.Provider value={identity}>
      <Frame reachable={error === undefined} onChange={onChange} />
    </IdentityContext.Provider>
  )
}

function SignIn({ error, onSignedIn }: { error: ApiError; onSignedIn(): void }) {
  return (
    <main class="sign-in">
      <div class="panel">
        <h1 class="brand">
          <Mark />
          MQTide
        </h1>
        <p>{error.status === 401 ? text.token.asked : text.token.refused(error.message)}</p>
        <TokenForm onSignedIn={onSignedIn} />
      </div>
    </main>
  )
}

function Mark() {
  return <img src="/favicon.svg" alt="" width="28" height="28" />
}

function Frame({ reachable, onChange }: { reachable: boolean; onChange(): void }) {
  const { page } = usePlace()
  const main = useRef<HTMLElement>(null)
  const pageNames = pagesFor(useIdentity().namespace)
  const name = (page === '' ? pageNames[0] : page) as PageName
  const Page = pageNames.includes(name) ? pages[name] : undefined
  const title = text.pages[name] ?? ''
  const first = useRef(true)
  useEffect(() => {
    document.title = title === '' ? 'MQTide' : `${title} · MQTide`
    // Whoever reads with the ears is told that another page is there; not when the first one comes.
    if (!first.current) main.current?.focus()
    first.current = false
    window.scrollTo(0, 0)
  }, [title])
  return (
    <div class="frame">
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        {text.frame.skip}
      </button>
      <header class="top">
        <a class="brand" href={linkTo('overview')}>
          <Mark />
          MQTide
        </a>
        <p class={`lamp ${reachable ? 'good' : 'bad'}`} role="status">
          {reachable ? text.frame.reachable : text.frame.unreachable}
        </p>
        <Preferences />
        <TokenButton onChange={onChange} />
      </header>
      <nav class="pages" aria-label={text.frame.pages}>
        <ul>
          {pageNames.map((one) => (
            <li key={one}>
              <a href={linkTo(one)} aria-current={one === name ? 'page' : undefined}>
                {text.pages[one]}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <main id="main" ref={main} tabIndex={-1}>
        {!reachable && <p class="notice bad">{text.frame.unreachableMore}</p>}
        {Page === undefined ? <p>{text.frame.notFound}</p> : <Page />}
      </main>
    </div>
  )
}

function Preferences() {
  const [theme, setTheme] = useState(themeInUse())
  const choose = (chosen: string) => {
    chooseTheme(chosen)
    setTheme(themeInUse())
  }
  return (
    <span class="preferences">
      <select aria-label={text.frame.theme} value={theme} onChange={(event) => choose(event.currentTarget.value)}>
        {themes.map((one) => (
          <option key={one} value={one}>
            {text.frame.themes[one]}
          </option>
        ))}
      </select>
      {Object.keys(languages).length > 1 && (
        <select
          aria-label={text.frame.language}
          value={languageInUse()}
          onChange={(event) => chooseLanguage(event.currentTarget.value)}
        >
          {Object.entries(languages).map(([tag, name]) => (
            <option key={tag} value={tag}>
              {name}
            </option>
          ))}
        </select>
      )}
    </span>
  )
}
