/**
 * Options that name files: in a configuration file they are relative to its folder, so that the file means the same whoever
 * starts the gateway from wherever. The data folder is not among them: it is relative to where the gateway is started.
 */
import { dirname, resolve } from 'node:path'

const names = new Set([
  ...['cert', 'key', 'ca', 'crl', 'passphraseFile', 'headersFile'],
  ...['passwordFile', 'aclFile', 'secretFile', 'publicKeyFile', 'jwksFile'],
])
/** Where such options may stand. */
const sections = new Set(['listeners', 'authentication', 'authorization', 'bridges', 'namespaces'])

/** The options of a file at `path`, with whole file names. */
export function withWholeFileNames<T extends Record<string, unknown>>(options: T, path: string): T {
  const folder = dirname(resolve(path))
  const entries = Object.entries(options).map(([name, value]) => [
    name,
    sections.has(name) ? whole(value, folder) : value,
  ])
  return Object.fromEntries(entries) as T
}

function whole(value: unknown, folder: string): unknown {
  if (Array.isArray(value)) return value.map((item) => whole(item, folder))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [
      name,
      names.has(name) && typeof one === 'string' ? resolve(folder, one) : whole(one, folder),
    ]),
  )
}
