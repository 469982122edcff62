/** The key of a message: by what its queue keeps an order, or chooses who works on it. */
import { userProperty } from '../../mqtt/user-property.ts'
import type { Message } from '../publish/message.ts'

const levelPrefix = 'topic-level:'
const propertyPrefix = 'property:'

/** `source` as in the definition. Empty: the message has no such key, or none is wanted: nothing binds it to others. */
export function keyOf(message: Message, source: string): string {
  if (source === 'none') return ''
  if (source === 'publisher') return message.publisher
  if (source === 'topic') return message.name
  if (source.startsWith(levelPrefix)) return message.name.split('/')[Number(source.slice(levelPrefix.length)) - 1] ?? ''
  return userProperty(message.forwardProperties, source.slice(propertyPrefix.length)) ?? ''
}
