/** Messages that somebody sends again and again, kept by this browser until they are removed. */
import type { Draft } from '../publish-form.tsx'

const savedKey = 'mqtide-saved-messages'
export const savedMax = 50

export function savedMessages(): Draft[] {
  try {
    const stored = JSON.parse(localStorage.getItem(savedKey) ?? '[]') as unknown
    if (Array.isArray(stored)) return stored.filter(isDraft).slice(0, savedMax)
  } catch {}
  return []
}

function isDraft(value: unknown): value is Draft {
  const { topic, payload, qos, retain } = (value ?? {}) as Partial<Draft>
  return (
    typeof topic === 'string' && typeof payload === 'string' && typeof qos === 'number' && typeof retain === 'boolean'
  )
}

/** The newest first; the same one is kept once. */
export function withMessage(saved: readonly Draft[], message: Draft): Draft[] {
  return [message, ...withoutMessage(saved, message)].slice(0, savedMax)
}

export function withoutMessage(saved: readonly Draft[], message: Draft): Draft[] {
  const same = JSON.stringify(message)
  return saved.filter((one) => JSON.stringify(one) !== same)
}

/** False: the browser has no room for it. */
export function keep(saved: readonly Draft[]): boolean {
  try {
    localStorage.setItem(savedKey, JSON.stringify(saved))
    return true
  } catch {
    return false
  }
}
