/**
 * The tree of topics: only the rows in sight are in the page, whatever the tree holds. One element takes the keys (arrows, Home, End,
 * Enter) and names the row they are at, as screen readers expect of a tree.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import { count } from '../format.ts'
import { kindOf, previewOf, shortName } from '../shown.ts'
import { text } from '../text/text.ts'
import { type Row, rowsOf, type TopicNode, type TopicTree } from './topic-tree.ts'

const rowPixels = 30
const rowsBeyond = 8
const freshMs = 900

interface TreeViewProps {
  tree: TopicTree
  search: string
  selected: string
  onSelect(topic: string): void
}

export function TreeView({ tree, search, selected, onSelect }: TreeViewProps) {
  const [, redraw] = useState(0)
  const [active, setActive] = useState<TopicNode | null>(null)
  const frame = useRef<HTMLDivElement>(null)
  const view = useScroll(frame)
  const rows = rowsOf(tree, search)
  const from = Math.max(0, Math.floor(view.top / rowPixels) - rowsBeyond)
  const to = Math.min(rows.length, Math.ceil((view.top + view.height) / rowPixels) + rowsBeyond)
  const toggle = (node: TopicNode, open: boolean) => {
    node.open = open
    redraw((before) => before + 1)
  }
  const choose = ({ node, hasChildren, open }: Row) => {
    setActive(node)
    if (node.count > 0) onSelect(node.path)
    else if (hasChildren) toggle(node, !open)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const at = rows.findIndex(({ node }) => node === active)
    const step = keyStep(event.key, rows, at)
    if (step === undefined) return
    event.preventDefault()
    if (step.open !== undefined) toggle(rows[at]!.node, step.open)
    if (step.choose === true && rows[at] !== undefined) choose(rows[at])
    const target = step.to === undefined ? undefined : rows[step.to]
    if (target === undefined) return
    setActive(target.node)
    intoView(frame.current!, step.to!)
  }
  const activeAt = rows.findIndex(({ node }) => node === active)
  return (
    <div
      ref={frame}
      class="tree"
      role="tree"
      tabIndex={0}
      aria-label={text.topics.tree}
      aria-activedescendant={activeAt >= from && activeAt < to ? `row-${activeAt}` : undefined}
      onKeyDown={onKeyDown}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: of a tree, not of a form */}
      <div class="tree-rows" role="group" style={{ height: `${rows.length * rowPixels}px` }}>
        {rows.slice(from, to).map((row, index) => (
          <TreeRow
            key={row.node.path}
            row={row}
            index={from + index}
            active={row.node === active}
            selected={row.node.path === selected && row.node.count > 0}
            onChoose={choose}
            onToggle={toggle}
          />
        ))}
      </div>
    </div>
  )
}

interface TreeRowProps {
  row: Row
  index: number
  active: boolean
  selected: boolean
  onChoose(row: Row): void
  onToggle(node: TopicNode, open: boolean): void
}

function TreeRow({ row, index, active, selected, onChoose, onToggle }: TreeRowProps) {
  const { node, hasChildren, open } = row
  const { last } = node
  const fresh = Date.now() - node.changedAt < freshMs
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree around it takes the keys
    // biome-ignore lint/a11y/useFocusableInteractive: the tree names the row that the keys are at
    <div
      id={`row-${index}`}
      role="treeitem"
      aria-level={node.depth + 1}
      aria-expanded={hasChildren ? open : undefined}
      aria-selected={selected}
      class={`tree-row${active ? ' active' : ''}${fresh ? ' fresh' : ''}`}
      style={{ top: `${index * rowPixels}px`, paddingLeft: `${0.6 + node.depth * 1.1}rem` }}
      onClick={() => onChoose(row)}
    >
      <span
        class="twisty"
        aria-hidden="true"
        onClick={(event) => {
          event.stopPropagation()
          if (hasChildren) onToggle(node, !open)
        }}
      >
        {hasChildren ? (open ? '▾' : '▸') : ''}
      </span>
      <span class="tree-name">{node.name === '' ? text.topics.emptyLevel : shortName(node.name, 80)}</span>
      {last !== undefined && (
        <span class={`tree-value ${kindOf(last)}`}>{last.size === 0 ? text.common.empty : previewOf(last, 80)}</span>
      )}
      {last?.retain === true && <span class="tag accent">{text.topics.retained}</span>}
      {hasChildren && (!open || last === undefined) && (
        <span class="tree-below">{text.topics.below(count(node.topicsBelow), count(node.countBelow))}</span>
      )}
    </div>
  )
}

interface KeyStep {
  to?: number
  open?: boolean
  choose?: boolean
}

function keyStep(key: string, rows: readonly Row[], at: number): KeyStep | undefined {
  const row = rows[at]
  const last = rows.length - 1
  switch (key) {
    case 'ArrowDown':
      return { to: Math.min(last, at + 1) }
    case 'ArrowUp':
      return { to: Math.max(0, at - 1) }
    case 'Home':
      return { to: 0 }
    case 'End':
      return { to: last }
    case 'Enter':
    case ' ':
      return { choose: true }
    case 'ArrowRight':
      return row?.hasChildren !== true ? {} : row.open ? { to: at + 1 } : { open: true }
    case 'ArrowLeft':
      if (row === undefined) return {}
      return row.hasChildren && row.open
        ? { open: false }
        : { to: rows.findIndex(({ node }) => node === row.node.parent) }
    default:
      return undefined
  }
}

function intoView(frame: HTMLElement, index: number): void {
  const top = index * rowPixels
  if (top < frame.scrollTop) frame.scrollTop = top
  else if (top + rowPixels > frame.scrollTop + frame.clientHeight)
    frame.scrollTop = top + rowPixels - frame.clientHeight
}

function useScroll(frame: { current: HTMLElement | null }): { top: number; height: number } {
  const [view, setView] = useState({ top: 0, height: 600 })
  useEffect(() => {
    const element = frame.current!
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight })
    look()
    element.addEventListener('scroll', look, { passive: true })
    const resized = new ResizeObserver(look)
    resized.observe(element)
    return () => {
      element.removeEventListener('scroll', look)
      resized.disconnect()
    }
  }, [])
  return view
}
