/**
 * The moments at which a connection may have died unnoticed, or a lost one may be possible again: the page is shown, comes
 * back from the browser's cache or from being frozen, the machine has a network again or has lost it. Node has none of them.
 */
interface Target {
  addEventListener?(type: string, listener: () => void): void
  removeEventListener?(type: string, listener: () => void): void
}

type Page = Target & { document?: Target & { visibilityState?: string } }

/** Calls `look` then; returns how to stop it. */
export function onPageReturns(look: () => void): () => void {
  const { document } = globalThis as Page
  const whenShown = () => {
    if (document?.visibilityState !== 'hidden') look()
  }
  const listeners: [Target | undefined, string, () => void][] = [
    [globalThis as Page, 'online', look],
    [globalThis as Page, 'offline', look],
    [globalThis as Page, 'pageshow', look],
    [document, 'resume', look],
    [document, 'visibilitychange', whenShown],
  ]
  for (const [target, type, listener] of listeners) target?.addEventListener?.(type, listener)
  return () => {
    for (const [target, type, listener] of listeners) target?.removeEventListener?.(type, listener)
  }
}
