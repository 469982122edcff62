/** Variable Byte Integers, section 1.5.5: seven bits per byte, lowest first, four bytes at most. */

export const variableByteIntegerMax = 268_435_455

/** Bytes that `value` takes, 1 to 4. */
export function variableByteIntegerLength(value: number): 1 | 2 | 3 | 4 {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4
}

/** @returns the offset after it */
export function writeVariableByteInteger(bytes: Uint8Array, at: number, value: number): number {
  let rest = value
  let next = at
  while (rest >= 0x80) {
    bytes[next++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[next++] = rest
  return next
}
