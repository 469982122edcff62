/** Whom rules are asked about: one client, as it is known when it has been let in. */
import { addressOf } from '../core/address.ts'
import type { CertificateFields, Credential, Identity } from './credential.ts'

export interface Subject {
  /** undefined: anonymous. */
  user: string | undefined
  clientId: string
  groups: readonly string[]
  /** Without its port. */
  address: string
  listener: string
  certificate: CertificateFields
}

export function subjectOf(
  credential: Pick<Credential, 'clientId' | 'remoteAddress' | 'listener' | 'certificate'>,
  identity: Identity | undefined,
  groupsOf: (user: string) => readonly string[],
): Subject {
  const { clientId, remoteAddress, listener = '', certificate = {} } = credential
  const user = identity?.name
  const groups = user === undefined ? [] : [...new Set([...groupsOf(user), ...(identity?.groups ?? [])])]
  return { user, clientId, groups, address: addressOf(remoteAddress), listener, certificate }
}
