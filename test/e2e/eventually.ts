import { expect } from 'vitest'

/** Looks again until the expectation holds; the time limit is for a busy machine, it says nothing about the gateway. */
export function eventually<Value>(read: () => Value | Promise<Value>) {
  return expect.poll(read, { timeout: 20_000, interval: 20 })
}
