/**
 * Refused logins in the log, for whoever has to find out why a device stays out: with client id, user name and address, never
 * with anything of the credential. Only so many in a second are written, since strangers decide how many there are; the
 * others are counted, here and in full in the metrics.
 */
import { LinesPerSecond } from './lines-per-second.ts'
import type { Log } from './log.ts'

const linesPerSecondMax = 10
/** Longer names are cut. */
const nameCharactersMax = 128

export interface RefusedLogin {
  clientId: string
  username: string | undefined
  remoteAddress: string
}

export class LoginAudit {
  readonly #log: Pick<Log, 'warn'>
  readonly #lines: LinesPerSecond

  constructor(log: Pick<Log, 'warn'>, now: () => number) {
    this.#log = log
    this.#lines = new LinesPerSecond(linesPerSecondMax, now)
  }

  refused(reason: string, { clientId, username = '', remoteAddress }: RefusedLogin, step: string): void {
    const left = this.#lines.admit()
    if (left === undefined) return
    const fields = {
      audit: true,
      reason,
      step,
      clientId: cut(clientId),
      username: shown(username),
      address: remoteAddress,
    }
    const notShown = left > 0 ? { notShown: left } : {}
    this.#log.warn({ ...fields, ...notShown }, 'login refused')
  }
}

export function cut(text: string): string {
  return text.length > nameCharactersMax ? `${text.slice(0, nameCharactersMax)}…` : text
}

/** A token may stand where the user name does. */
function shown(username: string): string {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(username) && username.length > 40 ? '(token)' : cut(username)
}
