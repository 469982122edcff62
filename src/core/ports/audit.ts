/** Whoever keeps a record of what clients were refused. The core tells of each; how many of them are worth a line is the other's matter. */
export interface AuditedClient {
  readonly clientId: string
  /** Empty: nobody in particular. */
  readonly principal: string
  readonly peer: { readonly address: string }
}

export interface Audit {
  /** `object`: the topic or the filter. `reason`: the reason code's name. */
  refused(action: 'publish' | 'subscribe', client: AuditedClient, object: string, reason: string): void
  /** A limit holds the client up or ends it. */
  limited(limit: string, client: AuditedClient): void
}

export const noAudit: Audit = { refused() {}, limited() {} }
