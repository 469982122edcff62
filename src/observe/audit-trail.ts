/**
 * What clients were refused, and which limits they met, in the log (`"audit":true`). Clients decide how often that is, so that of one
 * client and one reason a line is written at most every ten seconds, which says how many it stands for; and of all clients only so
 * many in a second. The metrics count all of it.
 */
import type { Audit, AuditedAction, AuditedClient } from '../core/ports/audit.ts'
import { LinesPerSecond } from './lines-per-second.ts'
import type { Log } from './log.ts'
import { cut } from './login-audit.ts'

const quietMs = 10_000
const linesPerSecondMax = 20
/** Clients and reasons of which a line was written lately. */
const rememberedMax = 10_000

const objects = {
  publish: 'topic',
  subscribe: 'filter',
  connect: 'belongsTo',
  renewal: 'claimed',
} as const satisfies Record<AuditedAction, string>

interface Written {
  at: number
  /** Since then. */
  leftOut: number
}

export class AuditTrail implements Audit {
  readonly #log: Pick<Log, 'warn'>
  readonly #now: () => number
  readonly #lines: LinesPerSecond
  /** Those written of longest ago first. */
  readonly #written = new Map<string, Written>()

  constructor(log: Pick<Log, 'warn'>, now: () => number) {
    this.#log = log
    this.#now = now
    this.#lines = new LinesPerSecond(linesPerSecondMax, now)
  }

  refused(action: AuditedAction, client: AuditedClient, object: string, reason: string): void {
    const fields = () => ({ reason, [objects[action]]: cut(object) })
    this.#write(client, `${action} ${reason}`, fields, `${action} refused`)
  }

  limited(limit: string, client: AuditedClient): void {
    this.#write(client, limit, () => ({ limit }), 'a limit holds a client up')
  }

  #write(client: AuditedClient, reason: string, fields: () => object, text: string): void {
    const { clientId, principal, peer, namespace } = client
    // Before CONNECT all are one, or a storm of strangers would fill the log.
    const key = `${namespace.name} ${clientId}\n${reason}`
    const now = this.#now()
    const before = this.#written.get(key)
    if (before !== undefined && now - before.at < quietMs) {
      before.leftOut++
      return
    }
    const notShown = this.#lines.admit()
    if (notShown === undefined) return
    this.#written.delete(key)
    this.#written.set(key, { at: now, leftOut: 0 })
    if (this.#written.size > rememberedMax) this.#forgetOldest()
    const counts = { ...(before?.leftOut ? { leftOut: before.leftOut } : {}), ...(notShown > 0 ? { notShown } : {}) }
    const who = { clientId: cut(clientId), principal: cut(principal), address: peer.address }
    this.#log.warn({ audit: true, ...namespace.logged, ...fields(), ...who, ...counts }, text)
  }

  #forgetOldest(): void {
    for (const oldest of this.#written.keys()) {
      this.#written.delete(oldest)
      return
    }
  }
}
