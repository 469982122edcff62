/**
 * The client that behaves, in a process of its own: `probe.ts KIND MQTT_PORT PID`. It sends a small message every few
 * milliseconds and measures how long each takes to come back (or to be acknowledged), and how long the gateway's main thread
 * was on a processor meanwhile: on a busy machine, that is what the gateway is to blame for. Ends with its input, and prints
 * what it measured.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setPriority } from 'node:os'
import { generate, type Packet, parser } from 'mqtt-packet'

export interface Measured {
  sent: number
  answered: number
  /** Of the round trips, those under way at the end included, in milliseconds. */
  p99Ms: number
  maxMs: number
  /** The most that the gateway's main thread worked during one round trip. */
  workedMs: number
}

const [kind, port, pid] = process.argv.slice(2)
const everyMs = kind === 'commit' ? 20 : 5
const waiting = new Map<number, { at: number; worked: number }>()
const roundTripsMs: number[] = []
let workedMs = 0
let sent = 0

try {
  setPriority(-10)
} catch {
  // Without the right to it, it competes with the attacker.
}

/** Milliseconds that the main thread was on a processor; the last known once the process is gone. */
let lastWorked = 0
function mainThreadMs(): number {
  try {
    lastWorked = Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'latin1').split(' ', 1)[0]) / 1e6
  } catch {
    // The process has ended.
  }
  return lastWorked
}

const socket = connect(Number(port), '127.0.0.1')
socket.setNoDelay(true)
socket.on('error', () => {})
const packets = parser()
socket.on('data', (chunk) => packets.parse(chunk))
packets.on('packet', (packet: Packet) => {
  if (packet.cmd === 'suback' || (packet.cmd === 'connack' && kind === 'commit')) begin()
  else if (packet.cmd === 'connack') {
    socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'probe', qos: 0 }] }))
  } else if (packet.cmd === 'publish') answered(Number(packet.payload.toString()))
  else if (packet.cmd === 'puback') answered(packet.messageId!)
})
socket.write(
  generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'probe', keepalive: 0 }),
)

function begin(): void {
  process.stdout.write('running\n')
  setInterval(() => {
    const id = (sent++ % 65_000) + 1
    waiting.set(id, { at: performance.now(), worked: mainThreadMs() })
    const fields = { cmd: 'publish', topic: 'probe', payload: String(id), dup: false } as const
    const isCommit = kind === 'commit'
    socket.write(
      generate({ ...fields, qos: isCommit ? 1 : 0, retain: isCommit, ...(isCommit ? { messageId: id } : {}) }),
    )
  }, everyMs)
}

function answered(id: number): void {
  const one = waiting.get(id)
  if (one === undefined) return
  waiting.delete(id)
  take(one)
}

function take({ at, worked }: { at: number; worked: number }): void {
  roundTripsMs.push(performance.now() - at)
  workedMs = Math.max(workedMs, mainThreadMs() - worked)
}

process.stdin.once('end', () => {
  const unanswered = waiting.size
  for (const one of waiting.values()) take(one)
  roundTripsMs.sort((a, b) => a - b)
  const p99Ms = roundTripsMs[Math.floor(roundTripsMs.length * 0.99)] ?? 0
  const measured: Measured = { sent, answered: sent - unanswered, p99Ms, maxMs: roundTripsMs.at(-1) ?? 0, workedMs }
  process.stdout.write(`${JSON.stringify(measured)}\n`, () => process.exit())
})
process.stdin.resume()
