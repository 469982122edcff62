/**
 * Delayed messages as they are looked at from outside, in the order in which they are due: from the store, which has all of them,
 * or from memory where nothing is stored. Looking loads nothing.
 *
 * What they are called there says where they stand, so that one is found like a page of one.
 */
import type { Broker } from '../broker.ts'
import { type DelayedMessage, recoveredDelayed } from '../delayed/delayed-message.ts'
import { defaultNamespaceName } from '../namespace.ts'
import type { DelayClock, DelayedAsked, DelayedPart, DelayedView } from '../ports/inspection.ts'
import { viewMessage } from './inspection.ts'

const partBytesMax = 1024 * 1024
const radix = 36
const letters = { steady: 's', system: 'd' } as const satisfies Record<DelayClock, string>

export function viewDelayed(broker: Broker, asked: DelayedAsked, use: (part: DelayedPart) => void): void {
  read(broker, asked, (messages, more) => use({ rows: messages.map((one) => view(broker, one)), more }))
}

export function findDelayed(broker: Broker, id: string, use: (found: DelayedView | null) => void): void {
  const asked = delayedOf(id)
  if (asked === null) use(null)
  else viewDelayed(broker, asked, ({ rows: [first] }) => use(first?.id === id ? first : null))
}

/** Takes one back. `use`: whether it was there. */
export function cancelDelayed(broker: Broker, id: string, use: (found: boolean) => void): void {
  const asked = delayedOf(id)
  if (asked === null) use(false)
  else {
    read(broker, asked, ([first]) => use(first !== undefined && idOf(first) === id && broker.delayed.remove(first)))
  }
}

/** Where one of this name stands, if there is one. Null: it is no such name. */
function delayedOf(id: string): DelayedAsked | null {
  const [, letter, dueAt = '', number = ''] = /^([sd])([0-9a-z]{1,11})-([0-9a-z]{1,11})$/.exec(id) ?? []
  if (letter === undefined) return null
  const clock = letter === letters.system ? 'system' : 'steady'
  const after = { dueAt: Number.parseInt(dueAt, radix), id: Number.parseInt(number, radix) - 1 }
  return { clock, after, messagesMax: 1 }
}

function idOf({ clock, dueAt, id }: DelayedMessage): string {
  return `${letters[clock]}${dueAt.toString(radix)}-${id.toString(radix)}`
}

type Read = (messages: readonly DelayedMessage[], more: boolean) => void

function read(broker: Broker, { clock, after, messagesMax }: DelayedAsked, use: Read): void {
  const { journal, delayed } = broker
  if (!journal.durable) {
    const messages = delayed.orders[clock].behind(after, messagesMax + 1)
    use(messages.slice(0, messagesMax), messages.length > messagesMax)
    return
  }
  const query = { clock, after, untilDueAt: Infinity, messagesMax, bytesMax: partBytesMax }
  journal.requestDelayed(query, ({ entries, more }) => {
    const namespace = (name: string) => broker.namespace(name || defaultNamespaceName)
    use(
      entries.map((entry) => recoveredDelayed(entry, namespace(entry.namespace))),
      more,
    )
  })
}

function view(broker: Broker, delayed: DelayedMessage): DelayedView {
  const { clock, dueAt, namespace, retain, scheduleId, principal, message } = delayed
  return {
    id: idOf(delayed),
    place: { dueAt, id: delayed.id },
    clock,
    dueAt: clock === 'system' ? dueAt - broker.wallOffset : dueAt,
    retain,
    scheduleId,
    principal,
    message: viewMessage(namespace.name, message),
  }
}
