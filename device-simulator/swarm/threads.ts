/** Parts of the swarm: one in this thread for MQTT.js devices, several in worker threads for lean ones. */
import { Worker } from 'node:worker_threads'
import { createFleet } from './fleet.ts'
import type { Part, PartInit } from './part.ts'
import type { Answer, Order } from './worker.ts'

/** In a checkout the sources run as they are, in the package they are compiled. */
const workerUrl = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

const methods: readonly (keyof Part)[] = [
  'setBroker',
  'gather',
  'ramp',
  'storm',
  'setRate',
  'setMeasured',
  'startFault',
  'stopFault',
  'collect',
  'ready',
  'progress',
  'facts',
  'end',
]

export async function createParts(init: Omit<PartInit, 'part' | 'parts'>, workers: number): Promise<Part[]> {
  if (workers === 0) return [await createFleet({ ...init, part: 0, parts: 1 })]
  return Promise.all(Array.from({ length: workers }, (_, part) => startThread({ ...init, part, parts: workers })))
}

function startThread(init: PartInit): Promise<Part> {
  const worker = new Worker(workerUrl, { workerData: init })
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let last = 0
  const order = (method: keyof Part, parameters: unknown[]): Promise<unknown> => {
    last += 1
    const number = last
    return new Promise((resolve, reject) => {
      waiting.set(number, { resolve, reject })
      worker.postMessage({ number, method, parameters } satisfies Order)
    })
  }
  const part = Object.fromEntries(
    methods.map((method) => [method, (...parameters: unknown[]) => order(method, parameters)]),
  ) as unknown as Part
  const end = part.end
  part.end = async () => {
    await end()
    await worker.terminate()
  }
  return new Promise((resolve, reject) => {
    worker.on('message', ({ number, result, error }: Answer) => {
      if (number === 0) {
        resolve(part)
        return
      }
      const found = waiting.get(number)
      waiting.delete(number)
      if (error === undefined) found?.resolve(result)
      else found?.reject(new Error(error))
    })
    worker.on('error', (error) => {
      reject(error)
      for (const { reject: refuse } of waiting.values()) refuse(error as Error)
      waiting.clear()
    })
  })
}
