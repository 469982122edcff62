/**
 * Topics with the same FNV-1a hash, as somebody makes them who has read a hash function without a seed: pairs of blocks that
 * lead from one state to the same next one, found by a birthday search; n pairs in a row give 2^n topics.
 */

const offsetBasis = 0x811c9dc5
const prime = 0x01000193
const blockBytes = 4
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'

function block(index: number): string {
  let text = ''
  for (let i = 0, rest = index; i < blockBytes; i++, rest = Math.floor(rest / letters.length)) {
    text += letters[rest % letters.length]
  }
  return text
}

function hashed(state: number, text: string): number {
  let hash = state
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), prime)
  return hash | 0
}

function pairAt(state: number): [first: string, second: string] {
  const seen = new Map<number, string>()
  for (let index = 0; ; index++) {
    const text = block(index)
    const hash = hashed(state, text)
    const other = seen.get(hash)
    if (other !== undefined) return [other, text]
    seen.set(hash, text)
  }
}

/** So many different topics with one hash. */
export function collidingTopics(count: number): string[] {
  let topics = ['']
  for (let state = offsetBasis; topics.length < count; ) {
    const [first, second] = pairAt(state)
    topics = topics.flatMap((topic) => [topic + first, topic + second])
    state = hashed(state, first)
  }
  return topics.slice(0, count)
}
