/** Publishes `$SYS/broker/…` at once and then every 10 seconds: what changed since the last time. */
import { type SysMessage, type SysReading, type SysState, sysIntervalMs, sysTopics } from './sys-topics.ts'

export interface SysSource {
  reading(): SysReading
  publish(messages: readonly SysMessage[]): void
}

/** Keeps nobody's process alive. Returns what ends it. */
export function startSysTopics({ reading, publish }: SysSource): () => void {
  let before: SysState | undefined
  const publishChanges = (): void => {
    const { messages, state } = sysTopics(before, reading())
    before = state
    publish(messages)
  }
  publishChanges()
  const timer = setInterval(publishChanges, sysIntervalMs)
  timer.unref()
  return () => clearInterval(timer)
}
