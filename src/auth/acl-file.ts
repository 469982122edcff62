/**
 * Mosquitto's ACL file, judged as Mosquitto 2.0 judges it.
 *
 *     topic read public/#            before the first `user`: for clients without a user name
 *     user alice
 *     topic readwrite plant/1/#      for alice; without a word it is readwrite
 *     topic deny plant/1/secret
 *     pattern write devices/%c/up    for everybody: %c is the client id, %u the user name
 *
 * A client's own lines come first, then the patterns; in both, `deny` lines come before the others wherever they stand.
 * What no line allows is denied. SUBSCRIBE is granted and `read` is judged when a message is delivered; with
 * `strictSubscribe` a subscription is refused that `read` lines don't cover.
 *
 * Stricter than Mosquitto in one thing: where a pattern's user name or client id holds a `/`, or begins a topic with `$`,
 * it is taken as Mosquitto takes `+` and `#` in them: the client gets nothing by patterns. It could reach levels there
 * that aren't its own.
 */

import type { Qos } from '../mqtt/packet.ts'
import { parseTopicFilter } from '../mqtt/topic.ts'
import { allQos, covers, type Decider, type Decision, matches, noQos, overlap, type Question } from './decider.ts'
import { AccessFileError, type FileFault } from './file-fault.ts'
import type { Subject } from './subject.ts'

const read = 1
const write = 2

interface AclLine {
  /** Bits read and write; 0: deny. */
  access: number
  topic: string
  levels: readonly string[]
  place: string
}

export interface Acl {
  /** The lines for clients without a user name, under the key undefined. Denying lines first. */
  users: ReadonlyMap<string | undefined, readonly AclLine[]>
  patterns: readonly AclLine[]
  strictSubscribe: boolean
}

const accessWords = new Map([
  ['read', read],
  ['write', write],
  ['readwrite', read | write],
  ['deny', 0],
])

/** @throws AccessFileError with every faulty line */
export function parseAclFile(text: string, file: string, strictSubscribe = false): Acl {
  const users = new Map<string | undefined, AclLine[]>()
  const patterns: AclLine[] = []
  const faults: FileFault[] = []
  let user: string | undefined
  for (const [index, raw] of text.split('\n').entries()) {
    const trimmed = raw.trimEnd()
    const line = index + 1
    if (trimmed.startsWith('#') || trimmed.trim() === '') continue
    try {
      const [word, rest] = firstWord(trimmed)
      if (word === 'user') {
        if (rest === '') throw new Error('the user name is missing')
        user = rest
      } else if (word === 'topic' || word === 'pattern') {
        const parsed = aclLine(rest, `${file}:${line}`)
        if (word === 'pattern') patterns.push(parsed)
        else users.set(user, [...(users.get(user) ?? []), parsed])
      } else throw new Error(`expected user, topic or pattern, got ${JSON.stringify(word.slice(0, 40))}`)
    } catch (error) {
      faults.push({ file, line, message: (error as Error).message })
    }
  }
  if (faults.length > 0) throw new AccessFileError(faults)
  for (const [name, lines] of users) users.set(name, denyingFirst(lines))
  return { users, patterns: denyingFirst(patterns), strictSubscribe }
}

/** The first word and the rest, both without blanks around them; only spaces divide them, as in Mosquitto. */
function firstWord(text: string): [word: string, rest: string] {
  const trimmed = text.replace(/^ +/, '')
  const space = trimmed.indexOf(' ')
  return space === -1 ? [trimmed, ''] : [trimmed.slice(0, space), trimmed.slice(space).trim()]
}

function aclLine(text: string, place: string): AclLine {
  if (text === '') throw new Error('the topic is missing')
  const [word, rest] = firstWord(text)
  // A single word is the topic, also when it is called "read".
  const access = rest === '' ? read | write : accessWords.get(word)
  const topic = rest === '' ? word : rest
  if (access === undefined) {
    throw new Error(`expected read, write, readwrite or deny, got ${JSON.stringify(word.slice(0, 40))}`)
  }
  if (parseTopicFilter(topic) === undefined)
    throw new Error(`not a topic filter: ${JSON.stringify(topic.slice(0, 200))}`)
  return { access, topic, levels: topic.split('/'), place }
}

function denyingFirst(lines: readonly AclLine[]): AclLine[] {
  return [...lines.filter(({ access }) => access === 0), ...lines.filter(({ access }) => access !== 0)]
}

export class AclDecider implements Decider {
  readonly #strictSubscribe: boolean
  readonly #own: readonly AclLine[]
  readonly #patterns: readonly AclLine[]

  constructor(acl: Acl, subject: Subject) {
    this.#strictSubscribe = acl.strictSubscribe
    this.#own = acl.users.get(subject.user) ?? []
    this.#patterns = isDangerous(acl.patterns, subject) ? [] : acl.patterns.flatMap((line) => forSubject(line, subject))
  }

  publishMask(topic: string): number {
    return this.#line(topic, write)?.access ? allQos : noQos
  }

  receiveMask(topic: string): number {
    return this.#line(topic, read)?.access ? allQos : noQos
  }

  maySubscribe(filter: string, _qos: Qos): boolean {
    return !this.#strictSubscribe || this.#subscribeDecision(filter).allowed
  }

  mayConsume(address: string, filter: string | null): boolean {
    return this.#consumeDecision(address, filter).allowed
  }

  explain(question: Question): Decision {
    if (question.action === 'consume') return this.#consumeDecision(question.address, question.filter)
    if (question.action === 'subscribe') {
      if (this.#strictSubscribe) return this.#subscribeDecision(question.filter)
      return {
        allowed: true,
        rule: 'subscriptions are granted, and read lines are judged at delivery (strictSubscribe)',
      }
    }
    const line = this.#line(question.topic, question.action === 'publish' ? write : read)
    return line === undefined
      ? { allowed: false, rule: undefined }
      : { allowed: line.access !== 0, rule: describeLine(line) }
  }

  #line(topic: string, access: number): AclLine | undefined {
    const levels = topic.split('/')
    const decides = (line: AclLine) =>
      (line.access === 0 || (line.access & access) !== 0) && matches(line.levels, levels)
    return this.#own.find(decides) ?? this.#patterns.find(decides)
  }

  /** Lines about the queue, or else about what it takes in, strictly: its messages are not left out for one of its consumers. */
  #consumeDecision(address: string, filter: string | null): Decision {
    const own = this.#subscribeDecision(address)
    return own.rule !== undefined || filter === null ? own : this.#subscribeDecision(filter)
  }

  /** Read lines have to cover all of it, and no denying line before them may touch it. */
  #subscribeDecision(filter: string): Decision {
    const levels = filter.split('/')
    for (const lines of [this.#own, this.#patterns]) {
      for (const line of lines) {
        const decides =
          line.access === 0 ? overlap(line.levels, levels) : (line.access & read) !== 0 && covers(line.levels, levels)
        if (decides) return { allowed: line.access !== 0, rule: describeLine(line) }
      }
    }
    return { allowed: false, rule: undefined }
  }
}

function describeLine({ access, topic, place }: AclLine): string {
  const word = [...accessWords].find(([, bits]) => bits === access)![0]
  return `${place}: ${word} ${topic}`
}

/** Whether patterns give this client nothing, because its own words could widen them. */
function isDangerous(patterns: readonly AclLine[], { user, clientId }: Subject): boolean {
  if (patterns.length === 0) return false
  if (/[+#]/.test(user ?? '') || /[+#]/.test(clientId)) return true
  return patterns.some(({ topic }) => {
    const values = [topic.includes('%u') ? (user ?? '') : '', topic.includes('%c') ? clientId : '']
    if (values.some((value) => value.includes('/'))) return true
    return topic.startsWith('%') && (textFor(topic, user, clientId) ?? '').startsWith('$')
  })
}

/** A pattern for one client; none for a `%u` where there is no user name. */
function forSubject(line: AclLine, { user, clientId }: Subject): AclLine[] {
  const topic = textFor(line.topic, user, clientId)
  return topic === undefined ? [] : [{ ...line, levels: topic.split('/') }]
}

function textFor(topic: string, user: string | undefined, clientId: string): string | undefined {
  if (user === undefined && topic.includes('%u')) return undefined
  return topic.replace(/%[uc]/g, (word) => (word === '%c' ? clientId : user!))
}
