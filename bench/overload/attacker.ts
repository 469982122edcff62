/**
 * Attacks, in a process of its own: `attacker.ts CASE MQTT_PORT HTTP_PORT`. Writes "prepared", waits for a line, attacks, and
 * writes "done" and how long it took; the attacker stays connected until it is killed.
 */
import { once } from 'node:events'
import { cases } from './cases.ts'

const [name, mqtt, http] = process.argv.slice(2)
const one = cases.find((candidate) => candidate.name === name)
if (one === undefined) throw new Error(`no such case: ${name}`)
const attack = await one.prepare({ mqtt: Number(mqtt), http: Number(http) })
process.stdout.write('prepared\n')
await once(process.stdin, 'data')
const startedAt = performance.now()
await attack()
process.stdout.write(`done ${Math.round(performance.now() - startedAt)}\n`)
