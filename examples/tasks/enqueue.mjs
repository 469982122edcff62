/**
 * A program that has work done: one job that it does not wait for, one whose result it wants, one for later.
 *
 *     node enqueue.mjs mqtt://127.0.0.1:1883
 */
import { createTasks } from 'mqtide/tasks'

const [url = 'mqtt://127.0.0.1:1883'] = process.argv.slice(2)

/** @type {import('mqtide/tasks').Tasks<import('./tasks.d.ts').Tasks>} */
const tasks = await createTasks({ url })

// However often it is asked for, it is done once.
const { id } = await tasks.enqueue('report', { of: 'today' }, { unique: 'report of today' })
console.log(`stored: ${id}`)

const later = await tasks.schedule('resize', { file: 'c.png', width: 80 }, { delayMs: 3_600_000 })
console.log(`taken back: ${await later.cancel()}`)

const onProgress = (part) => console.log(`${part * 100} %`)
console.log(await tasks.request('resize', { file: 'busy.png', width: 320 }, { onProgress }))

try {
  await tasks.request('resize', { file: 'notes.txt', width: 320 })
} catch (error) {
  console.log(`${error.name}: ${error.message}`)
}
await tasks.stop()
