/**
 * A worker: does jobs until it is told to stop, and then ends what it has begun. Start as many as you like.
 *
 *     node worker.mjs mqtt://127.0.0.1:1883
 */
import { setTimeout } from 'node:timers/promises'
import { createTasks, UnrecoverableError } from 'mqtide/tasks'

const [url = 'mqtt://127.0.0.1:1883'] = process.argv.slice(2)

/** @type {import('mqtide/tasks').Tasks<import('./tasks.d.ts').Tasks>} */
const tasks = await createTasks({ url })
tasks.on('failed', ({ task, error, retryInMs }) =>
  console.log(`${task} failed: ${error.message}; again in ${retryInMs} ms`),
)
tasks.on('dead', ({ task, error }) => console.log(`${task} given up: ${error.message}`))
tasks.on('fault', (error) => console.error(error.message))

await tasks.define(
  'resize',
  async ({ file, width }, job) => {
    if (!file.endsWith('.png')) throw new UnrecoverableError(`${file} is no picture`)
    // Somebody else's fault, gone the next time.
    if (file === 'busy.png' && job.attempt === 1) throw new Error('the disk is busy')
    for (const part of [0.25, 0.5, 0.75]) {
      await job.progress(part)
      // Ends at once where nobody waits for it any more.
      await setTimeout(50, undefined, { signal: job.signal })
    }
    return { file: `${width}-${file}`, bytes: width * 100 }
  },
  { concurrency: 4, retries: 5, backoff: { firstMs: 200 }, timeoutMs: 60_000 },
)
await tasks.define('report', ({ of }) => console.log(`report of ${of}`))
console.log('working')

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => tasks.stop().then(() => console.log('stopped')))
