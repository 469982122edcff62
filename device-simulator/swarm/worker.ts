/** A part of the swarm in a thread of its own: orders come as messages, answers go back under the order's number. */
import { parentPort, workerData } from 'node:worker_threads'
import { createFleet } from './fleet.ts'
import type { Part, PartInit } from './part.ts'

export interface Order {
  number: number
  method: keyof Part
  parameters: unknown[]
}

export interface Answer {
  number: number
  result?: unknown
  error?: string
}

const port = parentPort
if (port === null) throw new Error('worker.ts runs as a worker thread only')

const fleet = await createFleet(workerData as PartInit)

port.on('message', async ({ number, method, parameters }: Order) => {
  try {
    const call = fleet[method] as (...parameters: unknown[]) => Promise<unknown>
    port.postMessage({ number, result: await call.apply(fleet, parameters) } satisfies Answer)
  } catch (error) {
    port.postMessage({ number, error: (error as Error).message } satisfies Answer)
  }
})
port.postMessage({ number: 0 } satisfies Answer)
