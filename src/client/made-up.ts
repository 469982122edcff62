/** A name with so much chance in it that nothing else has it. */
export function madeUp(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
