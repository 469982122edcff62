/**
 * Whether a text is base64 with its padding. One pass without going back: a pattern that repeats groups of four takes a third of a second for
 * a megabyte, and runs out of stack at sixteen.
 */
export function isBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false
  const end = text.endsWith('==') ? text.length - 2 : text.endsWith('=') ? text.length - 1 : text.length
  return !/[^A-Za-z0-9+/]/.test(text.slice(0, end))
}
