/**
 * Who may connect and what for, for scenarios that need it: one user, and an ACL file of a hundred lines in Mosquitto's form, which
 * the brokers that are compared all read. Of the lines the last one is about the bench's topics.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newPasswordHash } from '../../src/auth/password-hash.ts'
import type { Place } from './broker.ts'

export const benchUser = { username: 'bench', password: 'bench-password' }

const rules = 100

export async function writeAccess(folder: string): Promise<NonNullable<Place['access']>> {
  const files = { passwordFile: join(folder, 'users'), aclFile: join(folder, 'acl') }
  const hash = await newPasswordHash('sha512-pbkdf2', new TextEncoder().encode(benchUser.password))
  writeFileSync(files.passwordFile, `${benchUser.username}:${hash}\n`, { mode: 0o644 })
  const others = Array.from({ length: rules - 1 }, (_, index) => `topic read other/site${index}/+/telemetry`)
  writeFileSync(files.aclFile, ['user bench', ...others, 'topic readwrite bench/#', ''].join('\n'), { mode: 0o644 })
  return files
}
