/** Topics as a tree that grows with what arrives; of one, its value, what it was, and what can be plotted of it. */
import { useCallback, useMemo, useRef, useState } from 'preact/hooks'
import { count } from '../format.ts'
import { LiveState } from '../live/live-state.tsx'
import { PinnedPlots } from '../live/pinned-plots.tsx'
import { addPoints, type Pin, type Points, pinKey, storedPins, storePins } from '../live/pins.ts'
import { SubscribeBar } from '../live/subscribe-bar.tsx'
import { TopicDetail } from '../live/topic-detail.tsx'
import { type Arrival, TopicTree, topicsMax } from '../live/topic-tree.ts'
import { TreeView } from '../live/tree-view.tsx'
import { useFeed } from '../live/use-feed.ts'
import { Empty, Search } from '../parts.tsx'
import { linkTo, replacePlace, usePlace } from '../routes.ts'
import { text } from '../text/text.ts'

/** What a page of topics knows; it goes when another filter is subscribed to. */
interface Known {
  tree: TopicTree
  points: Points
}

export function Topics() {
  const { item: selected, query } = usePlace()
  const filter = query.get('filter') ?? '#'
  const [pins, setPins] = useState<Pin[]>(storedPins)
  const [paused, setPaused] = useState(false)
  const known = useRef<Known>({ tree: new TopicTree(), points: new Map() })
  const onMessage = useCallback(
    (arrival: Arrival) => {
      known.current.tree.take(arrival)
      addPoints(known.current.points, pins, arrival)
    },
    [pins],
  )
  const live = useFeed(filter, onMessage)
  const { tree, points } = known.current
  const clear = () => {
    known.current = { tree: new TopicTree(), points: new Map() }
    live.drawNow()
  }
  const subscribe = (wanted: string) => {
    clear()
    replacePlace(linkTo('topics', '', { filter: wanted === '#' ? '' : wanted }))
  }
  const select = (topic: string) => replacePlace(linkTo('topics', topic, { filter: filter === '#' ? '' : filter }))
  const togglePin = (pin: Pin) => {
    const others = pins.filter((one) => pinKey(one) !== pinKey(pin))
    const wanted = others.length < pins.length ? others : [...pins, pin]
    setPins(wanted)
    storePins(wanted)
  }
  const pin = (wanted: Pin) => {
    const isNew = !pins.some((one) => pinKey(one) === pinKey(wanted))
    const values = isNew ? (tree.find(wanted.topic)?.values ?? []) : []
    for (const value of values) addPoints(points, [wanted], { topic: wanted.topic, ...value })
    togglePin(wanted)
  }
  // While it is paused these stay the same, and are not drawn.
  const picture = paused ? -1 : live.drawn
  const detail = useMemo(
    () => <TopicDetail tree={tree} topic={selected} pins={pins} onPin={pin} />,
    [tree, selected, pins, picture],
  )
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.topics}</h1>
        <LiveState live={live} />
      </div>
      <PinnedPlots pins={pins} points={points} drawn={live.drawn} onUnpin={togglePin} />
      <div class="topics">
        <section class="panel" aria-label={text.topics.tree}>
          <SubscribeBar filter={filter} onSubscribe={subscribe} paused={paused} onPause={setPaused} onClear={clear} />
          <TreeOrHint tree={tree} drawn={picture} selected={selected} onSelect={select} />
          <Totals tree={tree} />
        </section>
        {detail}
      </div>
    </>
  )
}

interface TreeProps {
  tree: TopicTree
  drawn: number
  selected: string
  onSelect(topic: string): void
}

function TreeOrHint({ tree, drawn, selected, onSelect }: TreeProps) {
  const [search, setSearch] = useState('')
  const view = useMemo(
    () => <TreeView tree={tree} search={search} selected={selected} onSelect={onSelect} />,
    [tree, tree.size === 0, search, selected, drawn],
  )
  return (
    <>
      <div class="tree-search">
        <Search value={search} onInput={setSearch} label={text.topics.search} placeholder={text.topics.search} />
      </div>
      {tree.size === 0 ? (
        <Empty>
          <p>{text.topics.nothing}</p>
          <p>
            <code>mosquitto_pub -t hello -m world</code>
          </p>
        </Empty>
      ) : (
        view
      )}
    </>
  )
}

function Totals({ tree }: { tree: TopicTree }) {
  const words = text.topics
  return (
    <p class="totals">
      <span>{words.totals(count(tree.size), count(tree.messages))}</span>
      {tree.unshown > 0 && <span class="wait">{words.unshown(count(topicsMax), count(tree.unshown))}</span>}
    </p>
  )
}
