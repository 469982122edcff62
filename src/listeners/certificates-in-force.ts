/**
 * The certificates that one listener uses now. The files are looked at in intervals and whenever somebody asks; a set that
 * can't be used changes nothing, is logged once, and is tried again when a file changes once more.
 */
import type { TlsOptions, Server as TlsServer } from 'node:tls'
import {
  type CertificateFacts,
  type CertificateFiles,
  type CertificateSet,
  contextFor,
  loadCertificates,
  stampOf,
} from './certificates.ts'

export interface CertificateLog {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

/** `none`: not asked for. `request`: a client may show one, which must be good. `require`: it must show one. */
export type ClientCertificates = 'none' | 'request' | 'require'

const checkIntervalMs = 10_000
const dayMs = 86_400_000
/** From so long before the end on, an expiry is warned of, once a day. */
const warnBeforeMs = 14 * dayMs

export class CertificatesInForce {
  readonly #files: CertificateFiles
  readonly #log: CertificateLog
  readonly #now: () => number
  readonly #servers = new Set<TlsServer>()
  #set: CertificateSet
  #stampTried: string
  #warnedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  /** @throws CertificateError */
  constructor(files: CertificateFiles, log: CertificateLog, now: () => number = Date.now) {
    this.#files = files
    this.#log = log
    this.#now = now
    this.#set = loadCertificates(files)
    this.#stampTried = this.#set.stamp
    this.#warnOfExpiry()
  }

  /** Of every certificate in force. */
  get facts(): readonly CertificateFacts[] {
    return [this.#set.default, ...this.#set.named].map(({ facts }) => facts)
  }

  /** For `tls.createServer` and `https.createServer`. */
  serverOptions(clientCertificates: ClientCertificates): TlsOptions {
    return {
      ...this.#set.default.options,
      SNICallback: (name, done) => done(null, contextFor(this.#set, name)),
      requestCert: clientCertificates !== 'none',
      rejectUnauthorized: clientCertificates === 'require',
    }
  }

  /** The server takes what is in force from now on, for new connections. */
  follow(server: TlsServer): void {
    this.#servers.add(server)
    server.on('close', () => this.#servers.delete(server))
  }

  watch(): void {
    this.#timer ??= setInterval(() => this.check(), checkIntervalMs)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Takes changed files. Returns whether there were any; what can't be used is logged. */
  check(): boolean {
    this.#warnOfExpiry()
    const stamp = stampOf(this.#files)
    if (stamp === this.#set.stamp || stamp === this.#stampTried) return false
    this.#stampTried = stamp
    try {
      this.#take(loadCertificates(this.#files))
    } catch (error) {
      this.#log.error({ err: error }, 'changed certificates can not be used: those before stay in force')
      return false
    }
    return true
  }

  #take(set: CertificateSet): void {
    this.#set = set
    for (const server of this.#servers) server.setSecureContext(set.default.options)
    this.#warnedAt = Number.NEGATIVE_INFINITY
    const certificates = this.facts.map(({ file, expiresAt }) => ({
      file,
      expiresAt: new Date(expiresAt).toISOString(),
    }))
    this.#log.info({ certificates }, 'changed certificates are in force for new connections')
    this.#warnOfExpiry()
  }

  #warnOfExpiry(): void {
    const now = this.#now()
    if (now - this.#warnedAt < dayMs) return
    for (const { file, expiresAt } of this.facts) {
      if (expiresAt - now > warnBeforeMs) continue
      this.#warnedAt = now
      const fields = { file, expiresAt: new Date(expiresAt).toISOString() }
      this.#log.warn(fields, expiresAt <= now ? 'the certificate has expired' : 'the certificate expires soon')
    }
  }
}
