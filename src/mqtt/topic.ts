/** Topic names and topic filters, section 4.7, and shared subscriptions' filters, section 4.8.2. */
import { ProtocolError } from './protocol-error.ts'
import { ReasonCode } from './reason-code.ts'
import { decodeUtf8, isEncodable } from './utf8.ts'

/** What filters of shared subscriptions begin with. */
export const sharePrefix = '$share/'

/**
 * A PUBLISH packet's topic name.
 *
 * @throws ProtocolError malformedPacket for bad UTF-8 [MQTT-3.3.2-1], topicNameInvalid for an empty name [MQTT-4.7.3-1] and
 * for wildcards [MQTT-3.3.2-2]
 */
export function decodeTopicName(bytes: Uint8Array, start: number, end: number): string {
  const topic = decodeUtf8(bytes, start, end)
  if (topic === undefined)
    throw new ProtocolError(ReasonCode.malformedPacket, 'the topic name is no valid UTF-8 string [MQTT-3.3.2-1]')
  refuseBadTopicName(topic, 'the topic name', '[MQTT-3.3.2-2]')
  return topic
}

/** @param what names the field in the message @param statement the statement that forbids wildcards in it */
export function refuseBadTopicName(topic: string, what: string, statement: string): void {
  if (topic === '') throw new ProtocolError(ReasonCode.topicNameInvalid, `${what} is empty [MQTT-4.7.3-1]`)
  if (hasWildcardCharacter(topic))
    throw new ProtocolError(ReasonCode.topicNameInvalid, `${what} contains a wildcard ${statement}`)
}

/** Whether it can be the topic of a PUBLISH packet. */
export function isValidTopicName(topic: string): boolean {
  return topic !== '' && !hasWildcardCharacter(topic) && isEncodable(topic)
}

export interface TopicFilter {
  /** Without `$share/group/`. */
  filter: string
  /** How many levels it has. */
  levels: number
  shared?: { group: string }
  hasWildcard: boolean
}

/** Undefined where it breaks section 4.7.1 or 4.8.2. */
export function parseTopicFilter(text: string): TopicFilter | undefined {
  if (!isEncodable(text)) return undefined
  if (!text.startsWith(sharePrefix)) return parseLevels(text)
  const groupEnd = text.indexOf('/', sharePrefix.length)
  // [MQTT-4.8.2-1], [MQTT-4.8.2-2]: a share name of one character or more without wildcards, then "/" and a filter.
  if (groupEnd <= sharePrefix.length) return undefined
  const group = text.slice(sharePrefix.length, groupEnd)
  if (hasWildcardCharacter(group)) return undefined
  const parsed = parseLevels(text.slice(groupEnd + 1))
  return parsed && { ...parsed, shared: { group } }
}

/** Whether a filter names a shared subscription, valid or not [MQTT-4.8.2-1]. */
export function isSharedFilter(filter: string): boolean {
  return filter.startsWith(sharePrefix)
}

function parseLevels(filter: string): TopicFilter | undefined {
  if (filter === '') return undefined
  let levels = 0
  let hasWildcard = false
  for (let start = 0; start <= filter.length; levels++) {
    const slash = filter.indexOf('/', start)
    const end = slash < 0 ? filter.length : slash
    for (let at = start; at < end; at++) {
      const isHash = filter.charCodeAt(at) === hash
      if (!isHash && filter.charCodeAt(at) !== plus) continue
      // [MQTT-4.7.1-1]: "#" alone in its level, which is the last; [MQTT-4.7.1-2]: "+" alone in its level.
      if (end - start > 1 || (isHash && end < filter.length)) return undefined
      hasWildcard = true
    }
    start = end + 1
  }
  return { filter, levels, hasWildcard }
}

const hash = 0x23
const plus = 0x2b

/**
 * Whether a topic name matches a filter, with or without `$share/group/`: section 4.7 spelled out, without an index.
 * An invalid filter matches nothing.
 */
export function topicMatchesFilter(filter: string, topic: string): boolean {
  const parsed = parseTopicFilter(filter)
  if (parsed === undefined) return false
  const levels = parsed.filter.split('/')
  const names = topic.split('/')
  // [MQTT-4.7.2-1]
  if (topic.startsWith('$') && (levels[0] === '#' || levels[0] === '+')) return false
  for (const [index, level] of levels.entries()) {
    // "#" stands for its parent level too (section 4.7.1.2), so that it matches where names end one level earlier.
    if (level === '#') return true
    if (index >= names.length || (level !== '+' && level !== names[index])) return false
  }
  return levels.length === names.length
}

function hasWildcardCharacter(text: string): boolean {
  return text.includes('#') || text.includes('+')
}
