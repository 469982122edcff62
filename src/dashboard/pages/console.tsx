/** Messages one after the other as they arrive, and messages to send, which may be kept to be sent again. */
import { useCallback, useMemo, useRef, useState } from 'preact/hooks'
import { bytes, count, time } from '../format.ts'
import { LiveState } from '../live/live-state.tsx'
import { keep, savedMessages, withMessage, withoutMessage } from '../live/saved-messages.ts'
import { SubscribeBar } from '../live/subscribe-bar.tsx'
import type { Arrival } from '../live/topic-tree.ts'
import { useFeed } from '../live/use-feed.ts'
import { Empty, Panel } from '../parts.tsx'
import { type Draft, emptyDraft, PublishForm } from '../publish-form.tsx'
import { linkTo, replacePlace, usePlace } from '../routes.ts'
import { kindOf, previewOf, shortName } from '../shown.ts'
import { text } from '../text/text.ts'

const messagesMax = 500
const previewCharactersMax = 400

interface Numbered extends Arrival {
  number: number
}

export function Console() {
  const { query } = usePlace()
  const filter = query.get('filter') ?? '#'
  const [paused, setPaused] = useState(false)
  const log = useRef<{ messages: Numbered[]; total: number }>({ messages: [], total: 0 })
  const onMessage = useCallback((arrival: Arrival) => {
    const { messages } = log.current
    messages.push({ ...arrival, number: log.current.total++ })
    if (messages.length >= messagesMax * 2) messages.splice(0, messages.length - messagesMax)
  }, [])
  const live = useFeed(filter, onMessage)
  const clear = () => {
    log.current = { messages: [], total: 0 }
    live.drawNow()
  }
  const picture = paused ? -1 : live.drawn
  const list = useMemo(() => <Messages messages={log.current.messages.slice(-messagesMax)} />, [picture, log.current])
  const words = text.console
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.console}</h1>
        <LiveState live={live} />
      </div>
      <div class="console">
        <section class="panel" aria-label={words.arrived}>
          <SubscribeBar
            filter={filter}
            paused={paused}
            onPause={setPaused}
            onClear={clear}
            onSubscribe={(wanted) => {
              clear()
              replacePlace(linkTo('console', '', { filter: wanted === '#' ? '' : wanted }))
            }}
          />
          {log.current.total === 0 ? <Empty>{words.nothing}</Empty> : list}
          <p class="totals">{words.totals(count(log.current.total), count(messagesMax))}</p>
        </section>
        <Sending />
      </div>
    </>
  )
}

function Messages({ messages }: { messages: readonly Numbered[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no mouse scrolls it by keys
    <ol class="console-list" tabIndex={0} aria-label={text.console.arrived}>
      {messages.toReversed().map((message) => (
        <li key={message.number}>
          <time class="quiet">{time(message.at)}</time>
          <span>
            <span class="mono">{shortName(message.topic, 120)}</span> <span class="tag">QoS {message.qos}</span>{' '}
            {message.retain && <span class="tag accent">{text.topics.retained}</span>}{' '}
            <small>{bytes(message.size)}</small>
          </span>
          <pre class={kindOf(message)}>
            {message.size === 0 ? text.common.empty : previewOf(message, previewCharactersMax)}
          </pre>
        </li>
      ))}
    </ol>
  )
}

function Sending() {
  const [draft, setDraft] = useState<Draft>(emptyDraft)
  const [saved, setSaved] = useState(savedMessages)
  const [kept, setKept] = useState(true)
  const store = (messages: Draft[]) => {
    setKept(keep(messages))
    setSaved(messages)
  }
  const words = text.console
  return (
    <div class="topic-detail">
      <Panel title={text.publish.title}>
        <PublishForm draft={draft} onSave={(message) => store(withMessage(saved, message))} />
      </Panel>
      <Panel title={words.saved}>
        {saved.length === 0 ? (
          <Empty>{words.savedNone}</Empty>
        ) : (
          <ul class="saved">
            {saved.map((message) => (
              <li key={JSON.stringify(message)}>
                <button type="button" class="plain mono" onClick={() => setDraft({ ...message })}>
                  {shortName(message.topic, 60)} <span class="quiet">{shortName(message.payload, 40)}</span>
                </button>
                <button
                  type="button"
                  class="small"
                  aria-label={words.remove(shortName(message.topic, 60))}
                  onClick={() => store(withoutMessage(saved, message))}
                >
                  ×
                </button>
              </li>
            ))}
          </ul>
        )}
        {!kept && <p class="panel-body hint bad">{words.notKept}</p>}
      </Panel>
    </div>
  )
}
