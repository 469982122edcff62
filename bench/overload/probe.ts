/**
 * The client that behaves, in a process of its own: `probe.ts KIND MQTT_PORT PID`. Every 5 ms it sends itself a small message at
 * QoS 0 and measures how long that takes to come back, and how long the gateway's main thread was on a processor meanwhile: on a
 * busy machine, that is what the gateway is to blame for. Of kind `commit` it also sends one at QoS 1 with RETAIN, every 20 ms;
 * what is reported of round trips is then the time to its PUBACK, which waits for the disk while the gateway serves others.
 * Ends with its input, and prints what it measured.
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
  /** The most that the gateway's main thread worked during one round trip at QoS 0. */
  workedMs: number
}

const [kind, port, pid] = process.argv.slice(2)
const echoEveryMs = 5
const commitEveryMs = 20

/** Messages under way and what came of them. */
class RoundTrips {
  readonly #waiting = new Map<number, { at: number; worked: number }>()
  readonly #ms: number[] = []
  #sent = 0
  workedMs = 0

  /** Returns the number by which it is known, which fits a packet identifier. */
  begin(): number {
    const id = (this.#sent++ % 65_000) + 1
    this.#waiting.set(id, { at: performance.now(), worked: mainThreadMs() })
    return id
  }

  end(id: number): void {
    const one = this.#waiting.get(id)
    if (one === undefined) return
    this.#waiting.delete(id)
    this.#take(one)
  }

  measured(): Omit<Measured, 'workedMs'> {
    const unanswered = this.#waiting.size
    for (const one of this.#waiting.values()) this.#take(one)
    const ms = this.#ms.sort((a, b) => a - b)
    const p99Ms = ms[Math.floor(ms.length * 0.99)] ?? 0
    return { sent: this.#sent, answered: this.#sent - unanswered, p99Ms, maxMs: ms.at(-1) ?? 0 }
  }

  #take({ at, worked }: { at: number; worked: number }): void {
    this.#ms.push(performance.now() - at)
    this.workedMs = Math.max(this.workedMs, mainThreadMs() - worked)
  }
}

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

const echoes = new RoundTrips()
const commits = new RoundTrips()
const socket = connect(Number(port), '127.0.0.1')
socket.setNoDelay(true)
socket.on('error', () => {})
const packets = parser()
socket.on('data', (chunk) => packets.parse(chunk))
packets.on('packet', (packet: Packet) => {
  if (packet.cmd === 'suback') begin()
  else if (packet.cmd === 'connack') {
    socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'probe', qos: 0 }] }))
  } else if (packet.cmd === 'publish') echoes.end(Number(packet.payload.toString()))
  else if (packet.cmd === 'puback') commits.end(packet.messageId!)
})
socket.write(
  generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'probe', keepalive: 0 }),
)

function begin(): void {
  process.stdout.write('running\n')
  setInterval(() => send({ topic: 'probe', payload: String(echoes.begin()), qos: 0, retain: false }), echoEveryMs)
  if (kind !== 'commit') return
  setInterval(() => {
    const messageId = commits.begin()
    send({ topic: 'probe-kept', payload: String(messageId), qos: 1, retain: true, messageId })
  }, commitEveryMs)
}

function send(fields: { topic: string; payload: string; qos: 0 | 1; retain: boolean; messageId?: number }): void {
  socket.write(generate({ cmd: 'publish', dup: false, ...fields }))
}

process.stdin.once('end', () => {
  const { workedMs } = echoes
  const measured: Measured = { ...(kind === 'commit' ? commits : echoes).measured(), workedMs }
  process.stdout.write(`${JSON.stringify(measured)}\n`, () => process.exit())
})
process.stdin.resume()
