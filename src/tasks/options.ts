/** Options that are checked where they are given, since a word that nobody knows is a mistake that nobody sees. */

/** @throws TypeError for a name that is no option */
export function requireOptions(of: string, given: object, known: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) throw new TypeError(`${of}: there is no option ${name}, only ${known.join(', ')}`)
  }
}

/** @throws RangeError */
export function requireWhole(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new RangeError(`expected ${name} from ${min} to ${max}, got ${value}`)
}

/** What the gateway takes as a delay. */
export const delayMsMax = 999_999_999

export const requireMs = (name: string, value: number): void => requireWhole(name, value, 0, delayMsMax)
