/** The trie by topic level: what it finds, what its nodes cost, and that it forgets. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countLevels, TopicTrie, type TrieNode } from '../../src/core/topic-trie.ts'

const level = fc.constantFrom('', 'a', 'b', 'ab', '+')
const path = fc.array(level, { minLength: 1, maxLength: 6 }).map((levels) => levels.join('/'))

/** Every node has a value, or branches; labels, depths and parents fit. */
function checkShape<Value>(node: TrieNode<Value>, depth: number): number {
  expect(node.depth).toBe(depth)
  const isRoot = node.parent === null
  if (!isRoot) expect(node.value !== null || (node.children?.size ?? 0) > 1).toBe(true)
  let nodes = isRoot ? 0 : 1
  for (const [key, child] of node.children ?? []) {
    expect(child.label.split('/')[0]).toBe(key)
    expect(child.parent).toBe(node)
    nodes += checkShape(child, isRoot ? 0 : depth + countLevels(node.label))
  }
  return nodes
}

describe('the trie of topics', () => {
  it('finds what a map finds, whatever was added and removed', () => {
    const action = fc.record({ path, remove: fc.boolean() })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), path, (actions, other) => {
        const trie = new TopicTrie<string>()
        const map = new Map<string, string>()
        for (const { path, remove } of actions) {
          const node = remove ? trie.find(path) : trie.add(path)
          if (remove) map.delete(path)
          else map.set(path, path)
          if (node !== null) {
            node.value = remove ? null : path
            if (remove) trie.prune(node)
          }
          expect(checkShape(trie.root, 0)).toBe(trie.nodes)
        }
        for (const one of [other, ...actions.map((action) => action.path)]) {
          expect(trie.find(one)?.value ?? null).toBe(map.get(one) ?? null)
        }
        for (const one of map.keys()) {
          const node = trie.find(one)!
          node.value = null
          trie.prune(node)
        }
        expect(trie.bytes).toBe(0)
        expect(trie.root.children).toBeNull()
      }),
    )
  })

  it('keeps a deep topic in one node, and makes one more where another branches off', () => {
    const trie = new TopicTrie<number>()
    const deep = Array.from({ length: 200 }, () => 'a').join('/')
    trie.add(deep).value = 1
    expect(trie.nodes).toBe(1)
    trie.add(`${deep.slice(0, 199)}/b`).value = 2
    expect(trie.nodes).toBe(3)
    const node = trie.find(deep)!
    node.value = null
    trie.prune(node)
    expect(trie.nodes).toBe(1)
  })
})
