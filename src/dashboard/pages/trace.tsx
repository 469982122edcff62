/** Packets of a client, an address or a topic as they pass, until the trace is stopped or its ten minutes are over. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { count, time } from '../format.ts'
import { useMay } from '../identity.ts'
import { Drawing } from '../live/drawing.ts'
import { type LinesState, openLines } from '../live/line-feed.ts'
import { Empty, Field } from '../parts.tsx'
import { linkTo, replacePlace, usePlace } from '../routes.ts'
import { shortName, visible } from '../shown.ts'
import { text } from '../text/text.ts'

const linesMax = 500
const valueCharactersMax = 300

const kinds = ['clientId', 'address', 'filter'] as const
type Kind = (typeof kinds)[number]

interface Asked {
  kind: Kind
  value: string
}

interface Line {
  number: number
  at: string
  event: string
  clientId: string
  address: string
  packet: string
  details: string
  leftOut: number
}

/** What stands in columns of its own. */
const shownApart: ReadonlySet<string> = new Set([
  'at',
  'event',
  'clientId',
  'address',
  'packet',
  'leftOut',
  'namespace',
])

export function Trace() {
  const { query } = usePlace()
  const may = useMay('operate')
  const kind = kinds.find((one) => query.has(one)) ?? 'clientId'
  const asked = { kind, value: query.get(kind) ?? '' }
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.trace}</h1>
      </div>
      <section class="panel" aria-label={text.trace.packets}>
        <Question key={JSON.stringify(asked)} asked={asked} may={may} />
        {asked.value === '' || !may ? (
          <Empty>{may ? text.trace.nothingAsked : text.token.needed}</Empty>
        ) : (
          <Packets key={JSON.stringify(asked)} asked={asked} />
        )}
      </section>
    </>
  )
}

function Question({ asked, may }: { asked: Asked; may: boolean }) {
  const [{ kind, value }, setTyped] = useState(asked)
  const words = text.trace
  const begin = (event: Event) => {
    event.preventDefault()
    replacePlace(linkTo('trace', '', { [kind]: value.trim() }))
  }
  return (
    <form class="panel-head row end" autocomplete="off" onSubmit={begin}>
      <Field label={words.whose}>
        {(id) => (
          <select
            id={id}
            value={kind}
            onChange={(event) => setTyped({ kind: event.currentTarget.value as Kind, value })}
          >
            {kinds.map((one) => (
              <option key={one} value={one}>
                {words.kinds[one]}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label={words.values[kind]} class="grow">
        {(id) => (
          <input
            id={id}
            class="mono"
            required
            maxLength={1024}
            spellcheck={false}
            value={value}
            onInput={(event) => setTyped({ kind, value: event.currentTarget.value })}
          />
        )}
      </Field>
      <button type="submit" class="primary" disabled={!may}>
        {words.begin}
      </button>
    </form>
  )
}

function Packets({ asked: { kind, value } }: { asked: Asked }) {
  const [{ state, reason }, setState] = useState<{ state: LinesState; reason: string }>({
    state: 'connecting',
    reason: '',
  })
  const [begun, setBegun] = useState(0)
  const [drawn, setDrawn] = useState(0)
  const log = useRef<{ lines: Line[]; total: number }>({ lines: [], total: 0 })
  const stop = useRef(() => {})
  useEffect(() => {
    log.current = { lines: [], total: 0 }
    const drawing = new Drawing(() => setDrawn((before) => before + 1))
    stop.current = openLines({
      path: '/trace',
      query: { [kind]: value, payloadBytes: '200' },
      onState: (known, why) => setState({ state: known, reason: why }),
      onLine(line) {
        const { lines } = log.current
        lines.push(lineOf(line, log.current.total++))
        if (lines.length >= linesMax * 2) lines.splice(0, lines.length - linesMax)
        drawing.changed = true
      },
    })
    return () => {
      drawing.end()
      stop.current()
    }
  }, [kind, value, begun])
  const list = useMemo(() => <Lines lines={log.current.lines.slice(-linesMax)} />, [drawn, begun])
  const words = text.trace
  const isOn = state === 'connecting' || state === 'connected'
  const halt = () => {
    stop.current()
    setState({ state: 'ended', reason: '' })
  }
  return (
    <>
      <p class="panel-body row">
        <span class={`lamp live ${isOn ? 'good' : 'bad'}`} role="status" data-state={state}>
          {words.states[state]}
          {reason === '' ? '' : `: ${visible(reason)}`}
        </span>
        {isOn ? (
          <button type="button" onClick={halt}>
            {words.stop}
          </button>
        ) : (
          <button type="button" onClick={() => setBegun((before) => before + 1)}>
            {words.again}
          </button>
        )}
      </p>
      {log.current.total === 0 ? <Empty>{words.nothing}</Empty> : list}
      <p class="totals">{words.totals(count(log.current.total), count(linesMax))}</p>
    </>
  )
}

function Lines({ lines }: { lines: readonly Line[] }) {
  const words = text.trace
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no mouse scrolls it by keys
    <ol class="console-list" tabIndex={0} aria-label={words.packets}>
      {lines.toReversed().map(({ number, at, event, clientId, address, packet, details, leftOut }) => (
        <li key={number}>
          <time class="quiet">{time(at)}</time>
          <span>
            <span class={`tag ${event === 'fault' ? 'bad' : 'accent'}`}>{words.events[event] ?? visible(event)}</span>{' '}
            <b>{visible(packet)}</b>{' '}
            <a class="mono" href={linkTo('clients', clientId)}>
              {shortName(clientId === '' ? address : clientId, 80)}
            </a>
            {leftOut > 0 && <span class="tag bad">{words.leftOut(count(leftOut))}</span>}
          </span>
          <pre>{details}</pre>
        </li>
      ))}
    </ol>
  )
}

function lineOf(line: Readonly<Record<string, unknown>>, number: number): Line {
  const textOf = (name: string) => String(line[name] ?? '')
  const details = Object.entries(line).flatMap(([name, value]) => {
    if (shownApart.has(name) || value === undefined) return []
    return [`${name}=${shortName(JSON.stringify(value), valueCharactersMax)}`]
  })
  return {
    number,
    at: textOf('at'),
    event: textOf('event'),
    clientId: textOf('clientId'),
    address: textOf('address'),
    packet: textOf('packet'),
    details: visible(details.join('  ')),
    leftOut: Number(line['leftOut'] ?? 0),
  }
}
