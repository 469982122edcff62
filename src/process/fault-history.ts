/**
 * Faults of our own that ended the process, and who was there: one JSON line each in `faults.jsonl` of the data directory,
 * written at once before the exit.
 *
 * A packet that ends the process would do so again as soon as it is back, so a client that was there at two such ends within ten
 * minutes is refused for an hour. A client is its client id within its namespace, the client id alone
 * where the fault came before it was let in, or its address where it had none yet. Times are the system clock's,
 * since they have to mean something to the next process.
 */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface RecordedFault {
  /** Milliseconds since the epoch. */
  at: number
  clientId: string
  /** Undefined: it was not let in yet. */
  namespace?: string | undefined
  /** "address:port"; empty: no client was the cause. */
  address: string
  /** The beginning of the packet, in hexadecimal; its first digit is the packet's type. */
  packet: string
  error: string
}

export interface Ban {
  clientId: string
  namespace?: string | undefined
  address: string
  until: number
}

const pairWithinMs = 600_000
const banMs = 3_600_000
const linesMax = 1000

export class FaultHistory {
  readonly #path: string
  readonly #now: () => number
  readonly #bans = new Map<string, Ban>()

  constructor(dataDir: string, now: () => number) {
    this.#path = join(dataDir, 'faults.jsonl')
    this.#now = now
    const lastAt = new Map<string, number>()
    for (const { at, clientId, namespace, address } of this.#read()) {
      const key = keyOf(clientId, address, namespace)
      if (key === '') continue
      const before = lastAt.get(key)
      if (before !== undefined && Math.abs(at - before) <= pairWithinMs) {
        // From a clock that was ahead it must not last for ever.
        this.#bans.set(key, { clientId, namespace, address, until: Math.min(at, now()) + banMs })
      }
      lastAt.set(key, at)
    }
    for (const [key, { until }] of this.#bans) if (until <= now()) this.#bans.delete(key)
  }

  /** Those in force at the start. */
  get bans(): readonly Ban[] {
    return [...this.#bans.values()]
  }

  /** How many are in force. */
  get count(): number {
    return this.#bans.size
  }

  refuses(clientId: string, address: string): boolean {
    if (this.#bans.size === 0) return false
    return this.#inForce(keyOf(clientId, '')) || this.#inForce(keyOf('', address))
  }

  refusesIn(namespace: string, clientId: string): boolean {
    return this.#bans.size > 0 && this.#inForce(keyOf(clientId, '', namespace))
  }

  #inForce(key: string): boolean {
    const ban = this.#bans.get(key)
    if (ban === undefined) return false
    if (ban.until > this.#now()) return true
    this.#bans.delete(key)
    return false
  }

  /** Throws nothing: the process is about to end anyway. */
  record(fault: Omit<RecordedFault, 'at'>): void {
    try {
      mkdirSync(dirname(this.#path), { recursive: true })
      appendFileSync(this.#path, `${JSON.stringify({ at: this.#now(), ...fault })}\n`, { mode: 0o600, flush: true })
    } catch {
      // A full disk, for instance. The log line says the same.
    }
  }

  #read(): RecordedFault[] {
    let lines: string[]
    try {
      lines = readFileSync(this.#path, 'utf8').split('\n')
    } catch {
      return []
    }
    if (lines.length > 2 * linesMax) this.#keepLast(lines)
    return lines.slice(-linesMax - 1).flatMap(parseLine)
  }

  #keepLast(lines: readonly string[]): void {
    try {
      writeFileSync(this.#path, lines.slice(-linesMax - 1).join('\n'), { mode: 0o600 })
    } catch {
      // It is only longer than it need be.
    }
  }
}

/** Nothing for a line that was cut off by the end of the process. */
function parseLine(line: string): RecordedFault[] {
  try {
    const { at, clientId, namespace, address, packet, error } = JSON.parse(line) as Partial<RecordedFault>
    if (typeof at !== 'number' || typeof clientId !== 'string' || typeof address !== 'string') return []
    if (namespace !== undefined && typeof namespace !== 'string') return []
    return [{ at, clientId, namespace, address, packet: String(packet), error: String(error) }]
  } catch {
    return []
  }
}

/** A client's port changes with each connection. */
function keyOf(clientId: string, address: string, namespace?: string): string {
  if (clientId !== '') return namespace === undefined ? `client ${clientId}` : `client ${clientId}\n${namespace}`
  const host = address.slice(0, address.lastIndexOf(':'))
  return host === '' ? '' : `address ${host}`
}
