/**
 * Options whose values nobody should read, and queries of addresses: they are not shown where the configuration is, and not told where they are wrong. Each can
 * stand in a file of its own: as the option of its name with File behind it, or by a variable of its name with _FILE behind it.
 */
const shown = '***'

/** Addresses keep all but their query, where keys are wont to stand. */
function isAddress(path: readonly PropertyKey[]): boolean {
  return /url$/i.test(String(path.at(-1)))
}

/** A shared secret, a password, or a header, which may hold one. */
export function isSecret(path: readonly PropertyKey[]): boolean {
  const name = path.at(-1)
  return name === 'secret' || name === 'password' || name === 'headers' || path.at(-2) === 'headers'
}

/** The same options with such values replaced by stars. */
export function withoutSecrets<T>(options: T): T {
  const hidden = (value: unknown, path: readonly PropertyKey[]): unknown => {
    if (isSecret(path)) return shown
    if (typeof value === 'string' && isAddress(path)) return value.replace(/\?.*$/s, `?${shown}`)
    if (Array.isArray(value)) return value.map((item, index) => hidden(item, [...path, index]))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, hidden(inner, [...path, key])]))
  }
  return hidden(options, []) as T
}
