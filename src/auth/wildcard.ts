/** Names with `*` for any characters, and `%u`, `%c` for what a client is called; compared without regular expressions. */

/** Whether a text fits a pattern. The values of placeholders are taken as they are: a `*` in one is just a character. */
export function fitsPattern(pattern: string, text: string, values: { u?: string; c?: string } = {}): boolean {
  const parts: string[] = ['']
  for (let at = 0; at < pattern.length; at++) {
    const two = pattern.slice(at, at + 2)
    const value = two === '%u' ? values.u : two === '%c' ? values.c : undefined
    if (value !== undefined) {
      parts[parts.length - 1] += value
      at++
    } else if (pattern[at] === '*') parts.push('')
    else parts[parts.length - 1] += pattern[at]!
  }
  return fitsParts(parts, text)
}

/** Whether the parts stand in the text in their order, the first at its beginning and the last at its end. */
function fitsParts(parts: readonly string[], text: string): boolean {
  const first = parts[0]!
  if (parts.length === 1) return text === first
  const last = parts.at(-1)!
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
  let from = first.length
  const end = text.length - last.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, from)
    if (found === -1 || found + part.length > end) return false
    from = found + part.length
  }
  return true
}
