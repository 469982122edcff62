/**
 * What systemd is told of a service of `Type=notify` (sd_notify): that it is ready, alive, reading its configuration again, stopping. It
 * listens on a datagram socket in the file system, for which Node has no sender; `systemd-notify`, which comes with systemd,
 * says it for us. That is another process than ours, so the unit has `NotifyAccess=all`.
 *
 * Without `NOTIFY_SOCKET` nobody asks, and nothing of this happens.
 */
import { execFile } from 'node:child_process'

/** A notice that takes longer is given up; the next one may get through. */
const noticeTimeoutMs = 10_000

export interface ServiceNotices {
  /** Also begins to say that the event loop runs, as often as the unit's watchdog wants it. */
  ready(status: string): void
  stopping(): void
}

export interface ServiceWorld {
  environment: Readonly<Record<string, string | undefined>>
  pid: number
  /** Once: whoever is not told may end us. */
  onError(error: Error): void
}

/** Undefined: nobody wants to be told. */
export function serviceNotices({ environment, pid, onError }: ServiceWorld): ServiceNotices | undefined {
  if (!environment['NOTIFY_SOCKET']) return undefined
  let failed = false
  let underWay = false
  const say = (...words: string[]): void => {
    underWay = true
    execFile('systemd-notify', words, { env: { ...environment }, timeout: noticeTimeoutMs }, (error) => {
      underWay = false
      if (error === null || failed) return
      failed = true
      onError(error)
    })
  }
  const watchdogMs = watchdogOf(environment, pid)
  let watchdog: NodeJS.Timeout | undefined
  return {
    ready(status) {
      say('READY=1', `STATUS=${status}`)
      if (watchdogMs === undefined) return
      // Twice in the time that it has: a timer of a loop that is stuck does not fire.
      watchdog = setInterval(() => {
        if (!underWay) say('WATCHDOG=1')
      }, watchdogMs / 2)
      watchdog.unref()
    },
    stopping() {
      clearInterval(watchdog)
      say('STOPPING=1', 'STATUS=stopping')
    },
  }
}

function watchdogOf(environment: ServiceWorld['environment'], pid: number): number | undefined {
  const { WATCHDOG_USEC: microseconds = '', WATCHDOG_PID: wanted } = environment
  if (!/^[1-9]\d*$/.test(microseconds) || (wanted !== undefined && Number(wanted) !== pid)) return undefined
  return Number(microseconds) / 1000
}
