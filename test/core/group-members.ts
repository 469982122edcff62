/** Members of one share group on a durable store, and what they get. */
import { expect } from 'vitest'
import { type DurableWorld, lasting } from './durable-world.ts'

export const filter = '$share/g/t'

export async function member(world: DurableWorld, clientId: string, qos: 0 | 1 | 2 = 1, options: object = lasting) {
  const device = (await world.ready(clientId, options)).subscribe(filter, qos)
  await world.settle()
  device.take()
  return device
}

/** One message at a time. */
export const slow = { ...lasting, properties: { ...lasting.properties, receiveMaximum: 1 } }

export const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i))

export async function publish(world: DurableWorld, payloads: string[], qos: 1 | 2 = 1): Promise<void> {
  const publisher = await world.ready('p', {})
  for (const [i, payload] of payloads.entries()) {
    publisher.publish('t', payload, { qos })
    if (i % 500 === 499) await world.settle()
  }
  await world.settle()
  expect(publisher.take().filter(({ type }) => type === 'puback' || type === 'pubrec')).toHaveLength(payloads.length)
  publisher.drop()
}
