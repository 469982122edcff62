/** One topic: what it says, what changed, what it said before, what of it can be plotted, and a message to it. */
import { useMemo, useState } from 'preact/hooks'
import { type TopicRoute, usePolled } from '../api.ts'
import { bytes, count, moment, since, time } from '../format.ts'
import { Empty, Facts, Panel } from '../parts.tsx'
import { type Draft, emptyDraft, PublishForm } from '../publish-form.tsx'
import { linkTo } from '../routes.ts'
import { fullTextOf, kindOf, numbersIn, previewOf, shortName } from '../shown.ts'
import { text } from '../text/text.ts'
import { differenceOf } from './difference.ts'
import { type Pin, pinKey, pinsMax } from './pins.ts'
import type { TopicNode, TopicTree, Value } from './topic-tree.ts'

interface TopicDetailProps {
  tree: TopicTree
  topic: string
  pins: readonly Pin[]
  onPin(pin: Pin): void
}

export function TopicDetail({ tree, topic, pins, onPin }: TopicDetailProps) {
  const node = topic === '' ? undefined : tree.find(topic)
  const draft = useMemo<Draft>(() => ({ ...emptyDraft, topic }), [topic])
  return (
    <div class="topic-detail">
      <Panel title={topic === '' ? text.topics.none : shortName(topic, 120)}>
        {node?.last === undefined ? (
          <Empty>{topic === '' ? text.topics.choose : text.topics.silent}</Empty>
        ) : (
          <TopicView node={node} last={node.last} pins={pins} onPin={onPin} />
        )}
      </Panel>
      <Panel title={text.publish.title}>
        <PublishForm draft={draft} />
      </Panel>
    </div>
  )
}

type View = 'value' | 'difference' | 'history'
const views: readonly View[] = ['value', 'difference', 'history']

interface TopicViewProps {
  node: TopicNode
  last: Value
  pins: readonly Pin[]
  onPin(pin: Pin): void
}

function TopicView({ node, last, pins, onPin }: TopicViewProps) {
  const [view, setView] = useState<View>('value')
  const words = text.topics
  return (
    <>
      <div class="panel-body stack">
        <fieldset class="choice" aria-label={words.view}>
          {views.map((one) => (
            <button type="button" key={one} aria-pressed={one === view} onClick={() => setView(one)}>
              {words.views[one]}
            </button>
          ))}
        </fieldset>
        {view === 'value' && <ValueBox value={last} />}
        {view === 'difference' && <Difference before={node.values.at(-2)} after={last} />}
        {view === 'history' && <History values={node.values} />}
        <Numbers topic={node.path} value={last} pins={pins} onPin={onPin} />
      </div>
      <TopicFacts node={node} last={last} />
    </>
  )
}

export function ValueBox({ value }: { value: Value }) {
  const kind = kindOf(value)
  return (
    <div class="value-box">
      <pre class={`value ${kind}`}>{kind === 'empty' ? text.common.empty : fullTextOf(value)}</pre>
      {value.size > value.bytes.length && <p class="hint">{text.common.cut(bytes(value.size))}</p>}
    </div>
  )
}

function Difference({ before, after }: { before: Value | undefined; after: Value }) {
  const lines = useMemo(
    () => (before === undefined ? [] : differenceOf(fullTextOf(before), fullTextOf(after))),
    [before, after],
  )
  if (before === undefined) return <p class="hint">{text.topics.firstValue}</p>
  const signs = { same: ' ', gone: '−', new: '+' } as const
  return (
    <div class="value-box">
      <pre class="value">
        {lines.map(({ kind, text: line }, index) => (
          <span key={index} class={`difference ${kind}`}>
            <span aria-hidden="true">{signs[kind]} </span>
            {kind !== 'same' && <span class="unseen">{text.topics.changes[kind]} </span>}
            {line}
            {'\n'}
          </span>
        ))}
      </pre>
      <p class="hint">{text.topics.between(time(before.at), time(after.at))}</p>
    </div>
  )
}

function History({ values }: { values: readonly Value[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no mouse scrolls it by keys
    <ol class="history" tabIndex={0} aria-label={text.topics.views.history}>
      {[...values].reverse().map((value, index) => (
        <li key={values.length - index}>
          <time class="quiet">{time(value.at)}</time>
          <span class={`mono ${kindOf(value)}`}>{value.size === 0 ? text.common.empty : previewOf(value, 200)}</span>
        </li>
      ))}
    </ol>
  )
}

interface NumbersProps {
  topic: string
  value: Value
  pins: readonly Pin[]
  onPin(pin: Pin): void
}

function Numbers({ topic, value, pins, onPin }: NumbersProps) {
  const paths = [...numbersIn(value).keys()]
  if (paths.length === 0) return null
  return (
    <div class="row">
      <span class="quiet">{text.topics.plot}</span>
      {paths.map((path) => {
        const pin = { topic, path }
        const pinned = pins.some((one) => pinKey(one) === pinKey(pin))
        return (
          <button
            type="button"
            class="small"
            key={path}
            aria-pressed={pinned}
            disabled={!pinned && pins.length >= pinsMax}
            onClick={() => onPin(pin)}
          >
            {path === '' ? text.topics.value : shortName(path, 60)}
          </button>
        )
      })}
    </div>
  )
}

function TopicFacts({ node, last }: { node: TopicNode; last: Value }) {
  const { data: route } = usePolled<TopicRoute>('/routes', { topic: node.path }, 5000)
  const words = text.topics.facts
  const recipients = route === undefined ? text.common.none : count(route.recipientCount + route.groupCount)
  return (
    <div class="panel-body facts-box">
      <Facts
        facts={[
          [words.at, `${moment(last.at)} (${text.topics.ago(since(last.at))})`],
          [words.messages, count(node.count)],
          [words.qos, `${last.qos}${last.retain ? `, ${text.topics.retained}` : ''}`],
          [words.size, bytes(last.size)],
          [words.recipients, recipients],
        ]}
      />
      <a href={linkTo('retained', node.path)}>{words.retained}</a>
    </div>
  )
}
