/**
 * What a set of rules says about one client: the two forms of rules (`rules.ts`, `acl-file.ts`) both become deciders, and a
 * grant asks its decider.
 *
 * For a topic all answers are given at once, as a mask: one bit for each of three QoS, without and with RETAIN. So a
 * topic is judged once, and the hot path reads a bit.
 */
import type { Qos } from '../mqtt/packet.ts'

export const allQos = 0b111_111
export const noQos = 0

export function qosBit(qos: Qos, retain: boolean): number {
  return retain ? 8 << qos : 1 << qos
}

/** The bits of a rule's conditions on QoS and RETAIN. */
export function conditionMask(qosMask: number, retain: boolean | undefined): number {
  return (retain === true ? 0 : qosMask) | (retain === false ? 0 : qosMask << 3)
}

/** Which rule decided: its place and its text; undefined: none did, and the default holds. */
export interface Decision {
  allowed: boolean
  rule: string | undefined
}

export type Question =
  | { action: 'publish' | 'receive'; topic: string; qos: Qos; retain: boolean }
  | { action: 'subscribe'; filter: string; qos: Qos }
  /** `filter`: what the queue takes in; null: only what is published to it by name. */
  | { action: 'consume'; address: string; filter: string | null }

export interface Decider {
  publishMask(topic: string): number
  receiveMask(topic: string): number
  /** `filter` without `$share/group/`. */
  maySubscribe(filter: string, qos: Qos): boolean
  mayConsume(address: string, filter: string | null): boolean
  explain(question: Question): Decision
}

/** Topics that are nobody's unless a rule names them: `#` and `+` at the first level don't cover what begins with `$`. */
export function isProduced(topic: string): boolean {
  return topic.startsWith('$queue/') || topic.startsWith('$stream/')
}

/** Whether a topic's levels match a filter's (section 4.7, also 4.7.2). */
export function matches(filter: readonly string[], levels: readonly string[]): boolean {
  const first = filter[0]!
  if ((first === '#' || first === '+') && levels[0]!.startsWith('$')) return false
  for (let index = 0; index < filter.length; index++) {
    const level = filter[index]!
    if (level === '#') return true
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false
  }
  return filter.length === levels.length
}

/** Whether every topic that `inner` matches is matched by `outer` too. */
export function covers(outer: readonly string[], inner: readonly string[]): boolean {
  const first = outer[0]!
  if ((first === '#' || first === '+') && inner[0]!.startsWith('$')) return false
  for (let index = 0; index < outer.length; index++) {
    const level = outer[index]!
    if (level === '#') return true
    const asked = inner[index]
    if (asked === undefined || asked === '#') return false
    if (level !== '+' && level !== asked) return false
  }
  // "a/#" matches "a" too, but "a" doesn't cover what is below it.
  return outer.length === inner.length
}

/** Whether there is a topic that both match. */
export function overlap(one: readonly string[], other: readonly string[]): boolean {
  const isWild = (level: string | undefined) => level === '#' || level === '+'
  if (isWild(one[0]) && other[0]!.startsWith('$')) return false
  if (isWild(other[0]) && one[0]!.startsWith('$')) return false
  for (let index = 0; ; index++) {
    const a = one[index]
    const b = other[index]
    if (a === '#' || b === '#') return true
    if (a === undefined || b === undefined) return a === b
    if (a !== b && a !== '+' && b !== '+') return false
  }
}
