/** Whoever keeps a record of what clients were refused. The core tells of each; how many of them are worth a line is the other's matter. */
export interface AuditedClient {
  readonly clientId: string
  /** Empty: nobody in particular. */
  readonly principal: string
  readonly peer: { readonly address: string }
  readonly namespace: { readonly name: string; readonly logged: { readonly namespace?: string } }
}

/** A renewal is a re-authentication by AUTH. */
export type AuditedAction = 'publish' | 'subscribe' | 'connect' | 'renewal'

export interface Audit {
  /**
   * `object`: the topic, the filter, the namespace where it belongs, or the principal that it claims to be. `reason`: the reason code's
   * name, or what of a connection does not fit.
   */
  refused(action: AuditedAction, client: AuditedClient, object: string, reason: string): void
  /** A limit holds the client up or ends it. */
  limited(limit: string, client: AuditedClient): void
}

export const noAudit: Audit = { refused() {}, limited() {} }
