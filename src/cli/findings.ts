/**
 * What is found in a configuration that is valid by itself: by looking into the files that it names, at who may read them, and at this
 * machine. Faults keep a gateway from starting, warnings do not.
 */
import { accessSync, constants, statSync } from 'node:fs'
import { platform } from 'node:os'
import { authenticates, isReachable } from '../config/access.ts'
import { authenticatesAnywhere } from '../config/access-settings.ts'
import type { ConfigIssue } from '../config/config-error.ts'
import { type ListenerConfig, listenersOf } from '../config/listeners.ts'
import { queuesOf } from '../config/queues.ts'
import { type GatewayConfig, isAuthenticated } from '../config/schema.ts'
import { certificateFiles } from '../listeners/certificate-files.ts'
import { CertificateError, type CertificateFacts, loadCertificates } from '../listeners/certificates.ts'
import { fileDescriptorsMax } from '../process/file-descriptors.ts'

const dayMs = 86_400_000
const expiresSoonMs = 14 * dayMs

/** Files that nobody but the gateway should read. */
const secretFiles = new Set(['key', 'passphraseFile', 'passwordFile', 'secretFile', 'headersFile'])

/** Certificates that can't be used: these keep a gateway from starting. */
export function certificateFaults(config: GatewayConfig): ConfigIssue[] {
  return tlsListeners(config).flatMap((listener) => {
    const facts = factsOf(listener)
    return facts instanceof CertificateError ? [{ path: placeOf(listener), message: facts.message }] : []
  })
}

/** What may be meant so, and mostly is not. */
export function warningsOf(config: GatewayConfig, now: number): ConfigIssue[] {
  return [
    ...openWarnings(config),
    ...namelessWarnings(config),
    ...expiryWarnings(config, now),
    ...readableWarnings(config),
    ...queueWarnings(config),
  ]
}

export function openWarnings(config: GatewayConfig): ConfigIssue[] {
  const authenticated = isAuthenticated(config)
  const open = listenersOf(config).filter((one) => isReachable(one) && !authenticates(one.own, authenticated))
  const byHost = new Map(open.map((one) => [one.host, one]))
  return [...byHost.values()].map(({ host, places }) => {
    const message = `clients from other machines may connect to ${host} without credentials, as allowAnonymous says`
    return { path: places.host, message }
  })
}

/** Who is in a namespace by his name has to prove that it is his. */
function namelessWarnings(config: GatewayConfig): ConfigIssue[] {
  if (authenticatesAnywhere(config)) return []
  const named = Object.entries(config.namespaces).filter(([, { users }]) => users.length > 0)
  return named.map(([name]) => {
    const message = 'nobody is asked who he is, so nobody is here by his name: authentication is not configured'
    return { path: ['namespaces', name, 'users'], message }
  })
}

/** Jobs that are lost, or stay with a consumer for good, by what somebody wrote. */
function queueWarnings(config: GatewayConfig): ConfigIssue[] {
  return queuesOf(config).flatMap(({ namespace, name, definition }) => {
    const at = [
      ...(Object.hasOwn(config.queues, name) && namespace === 'default' ? [] : ['namespaces', namespace]),
      'queues',
      name,
    ]
    const { deadLetter, filter, attemptsMax, settle, ackTimeoutMs } = definition
    const issues: ConfigIssue[] = []
    // A queue without a filter may be one of dead letters, which end there.
    if (deadLetter === false && filter !== null) {
      const message = `messages that fail ${attemptsMax} times, or are rejected, are dropped: there is no queue for them`
      issues.push({ path: [...at, 'deadLetter'], message })
    }
    if (settle === 'explicit' && ackTimeoutMs === 0) {
      const message = 'a consumer that forgets a message keeps it for as long as it is connected'
      issues.push({ path: [...at, 'ackTimeoutMs'], message })
    }
    return issues
  })
}

/** What is open besides sockets: the database, the log, the program's own files. */
const ownFiles = 64

/** Undefined: the limits fit. */
export function fileDescriptorWarning({ limits }: GatewayConfig): { message: string; fields: object } | undefined {
  const allowed = fileDescriptorsMax()
  const { connectionsMax, handshakesMax, httpSocketsMax } = limits
  const wanted = connectionsMax + handshakesMax + httpSocketsMax + ownFiles
  if (allowed === undefined || wanted <= allowed) return undefined
  const message =
    'the limits allow more connections than this process may open files: lower them, or raise LimitNOFILE (ulimit -n)'
  return { message, fields: { allowed, connectionsMax, handshakesMax, httpSocketsMax } }
}

function tlsListeners(config: GatewayConfig): ListenerConfig[] {
  return listenersOf(config).filter(({ tls }) => tls !== undefined)
}

/** The listener itself. */
function placeOf({ places: { port } }: ListenerConfig): readonly PropertyKey[] {
  return port.slice(0, -1)
}

function factsOf({ tls }: ListenerConfig): readonly CertificateFacts[] | CertificateError {
  try {
    const set = loadCertificates(certificateFiles(tls!))
    return [set.default, ...set.named].map(({ facts }) => facts)
  } catch (error) {
    if (error instanceof CertificateError) return error
    throw error
  }
}

function expiryWarnings(config: GatewayConfig, now: number): ConfigIssue[] {
  return tlsListeners(config).flatMap((listener) => {
    const facts = factsOf(listener)
    if (facts instanceof CertificateError) return []
    const soon = facts.filter(({ expiresAt }) => expiresAt - now <= expiresSoonMs)
    return soon.map(({ file, expiresAt }) => {
      const until = `${expiresAt <= now ? 'has expired' : 'expires'} at ${new Date(expiresAt).toISOString()}`
      return { path: [...placeOf(listener), 'cert'], message: `${file}: the certificate ${until}` }
    })
  })
}

/** Windows has other rights than these. */
function readableWarnings({ listeners, authentication }: GatewayConfig): ConfigIssue[] {
  if (platform() === 'win32') return []
  return namedFiles({ listeners, authentication }, []).flatMap(({ path, file }) => {
    const mode = modeOf(file)
    if (mode === undefined || (mode & constants.S_IROTH) === 0) return []
    const message = `${file}: every user of this machine may read it; chmod o= ${file}`
    return [{ path, message }]
  })
}

function namedFiles(value: unknown, path: readonly PropertyKey[]): { path: readonly PropertyKey[]; file: string }[] {
  if (typeof value === 'string') return secretFiles.has(String(path.at(-1))) ? [{ path, file: value }] : []
  if (typeof value !== 'object' || value === null) return []
  const entries = Array.isArray(value) ? value.map((item, index) => [index, item] as const) : Object.entries(value)
  return entries.flatMap(([key, inner]) => namedFiles(inner, [...path, key]))
}

function modeOf(file: string): number | undefined {
  try {
    accessSync(file)
    return statSync(file).mode
  } catch {
    // What can't be read is told by whoever reads it.
    return undefined
  }
}
