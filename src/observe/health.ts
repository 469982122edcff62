/** Whether clients should be sent here, as `/readyz` tells it: put together from what others found out. */

export type ListenersState = 'closed' | 'ok' | 'draining'

export interface HealthReport {
  ready: boolean
  /** What was looked at, for example `{ store: 'ok', listeners: 'draining' }`. */
  checks: Record<string, string>
}

export class Health {
  listeners: ListenersState = 'closed'
  /** What ended all safety; nothing is acknowledged any more. */
  failure: Error | undefined

  report(): HealthReport {
    const store = this.failure === undefined ? 'ok' : this.failure.message
    return { ready: store === 'ok' && this.listeners === 'ok', checks: { store, listeners: this.listeners } }
  }
}
