/** What is so at each listener, and when its certificates expire. */
import { Gauge, type Registry } from '@prometheus-io/client'

/** What is so at one listener now. */
export interface ListenerGauges {
  /** From the configuration, so that their number is bounded. */
  name: string
  kind: string
  clients: number
  handshakes: number
  /** In force there; their number is the configuration's. `expiresAt`: milliseconds since the epoch. */
  certificates: readonly { subject: string; expiresAt: number }[]
}

export function setListenerMetrics(listeners: readonly ListenerGauges[], registry: Registry): void {
  if (listeners.length > 0) setListeners(listeners, registry)
  if (listeners.some(({ certificates }) => certificates.length > 0)) setCertificates(listeners, registry)
}

function setListeners(listeners: readonly ListenerGauges[], registry: Registry): void {
  const options = { labelNames: ['listener', 'protocol'], registers: [registry] }
  const clients = new Gauge({ ...options, name: 'mqtt_listener_clients', help: 'Clients of each listener now.' })
  const handshakes = new Gauge({
    ...options,
    name: 'mqtt_listener_handshakes',
    help: 'Connections of each listener now whose CONNECT is not accepted yet.',
  })
  for (const { name: listener, kind: protocol, ...now } of listeners) {
    clients.set({ listener, protocol }, now.clients)
    handshakes.set({ listener, protocol }, now.handshakes)
  }
}

function setCertificates(listeners: readonly ListenerGauges[], registry: Registry): void {
  const expiry = new Gauge({
    name: 'mqtide_certificate_expires_at_seconds',
    help: 'When the certificates of each listener expire, in seconds since the epoch; of several with one subject the first.',
    labelNames: ['listener', 'subject'],
    registers: [registry],
  })
  for (const { name: listener, certificates } of listeners) {
    const last = certificates.toSorted((a, b) => b.expiresAt - a.expiresAt)
    for (const { subject, expiresAt } of last) expiry.set({ listener, subject }, Math.floor(expiresAt / 1000))
  }
}
