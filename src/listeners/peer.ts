/**
 * What a listener knows of the client at an accepted socket: its address, and its certificate where it showed a good one, to us or
 * to a proxy that is trusted.
 */
import type { Socket } from 'node:net'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import type { Peer } from '../core/ports/peer.ts'
import type { ListenerOptions } from '../engine/engine.ts'
import { type ClientAddress, clientAt, clientText } from './client-address.ts'

/** What a listener says of its clients. */
export type ListenerWords = Pick<ListenerOptions, 'name' | 'namespace'>

export function peerOf(
  socket: Socket,
  { name: listener, namespace }: ListenerWords,
  client: ClientAddress = clientAt(socket),
): Peer {
  const { commonName } = client
  const proxied = commonName === undefined ? null : { cn: commonName }
  const peer = { address: clientText(client), listener, certificate: certificateOf(socket) ?? proxied }
  return namespace === undefined ? peer : { ...peer, namespace }
}

/** Only a certificate that was verified counts. */
function certificateOf(socket: Socket): Peer['certificate'] {
  const { encrypted, authorized } = socket as Partial<TLSSocket>
  if (encrypted !== true || authorized !== true) return null
  const certificate = (socket as TLSSocket).getPeerCertificate()
  return Object.keys(certificate).length === 0 ? null : fieldsOf(certificate)
}

/** Node writes a value that holds a comma or a quote as a JSON string, so that it can't pass for several names. */
function alternativeNames(text: string): { kind: string; value: string }[] {
  return [...text.matchAll(/([A-Za-z][\w ]*):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy)].map(([, kind, value]) => ({
    kind: kind!,
    value: value!.startsWith('"') ? (JSON.parse(value!) as string) : value!,
  }))
}

/** Names as rules and configurations use them; of a field that occurs several times, the first. */
export function fieldsOf({
  subject,
  subjectaltname = '',
  fingerprint256 = '',
}: PeerCertificate): Record<string, string> {
  const { CN, O, OU, C, L, ST, emailAddress } = subject as unknown as Record<string, string | string[] | undefined>
  const alternatives = alternativeNames(subjectaltname)
  const alternative = (kind: string): string | undefined => alternatives.find((name) => name.kind === kind)?.value
  const fields: Record<string, string | string[] | undefined> = {
    ...{ cn: CN, o: O, ou: OU, c: C, l: L, st: ST, email: emailAddress ?? alternative('email') },
    ...{ san: alternative('DNS'), uri: alternative('URI') },
    fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(),
  }
  const present = Object.entries(fields).flatMap(([name, value]) => {
    const first = Array.isArray(value) ? value[0] : value
    return first === undefined || first === '' ? [] : [[name, first] as const]
  })
  return Object.fromEntries(present)
}
