/**
 * Refused logins in the log, for whoever has to find out why a device stays out: with client id, user name and address, never
 * with anything of the credential. Only so many in a second are written, since strangers decide how many there are; the
 * others are counted, here and in full in the metrics.
 */
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
  readonly #now: () => number
  #second = -1
  #lines = 0
  #left = 0

  constructor(log: Pick<Log, 'warn'>, now: () => number) {
    this.#log = log
    this.#now = now
  }

  refused(reason: string, { clientId, username = '', remoteAddress }: RefusedLogin, step: string): void {
    const second = Math.floor(this.#now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#lines = 0
    }
    if (this.#lines >= linesPerSecondMax) {
      this.#left++
      return
    }
    this.#lines++
    const fields = {
      audit: true,
      reason,
      step,
      clientId: cut(clientId),
      username: shown(username),
      address: remoteAddress,
    }
    const notShown = this.#left > 0 ? { notShown: this.#left } : {}
    this.#left = 0
    this.#log.warn({ ...fields, ...notShown }, 'login refused')
  }
}

function cut(text: string): string {
  return text.length > nameCharactersMax ? `${text.slice(0, nameCharactersMax)}…` : text
}

/** A token may stand where the user name does. */
function shown(username: string): string {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(username) && username.length > 40 ? '(token)' : cut(username)
}
