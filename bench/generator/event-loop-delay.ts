/** How long the gateway's event loop was late, from its metrics. */
import { get } from 'node:http'

/** The gateway's probe is a timer of this period, and each of its samples contains the period. */
const probePeriodSeconds = 0.02

/** Microseconds by which 99 % of the probe's samples were late at most; undefined where the text has no such metric. */
export function eventLoopDelayP99(metrics: string): number | undefined {
  const value = /^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(metrics)?.[1]
  if (value === undefined || !Number.isFinite(Number(value))) return undefined
  return Math.max(0, Number(value) - probePeriodSeconds) * 1e6
}

/** The delay since the call before this one, which is what the gateway keeps; undefined for a broker without metrics. */
export function scrapeEventLoopDelay(url: string | undefined): Promise<number | undefined> {
  if (url === undefined) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    const request = get(url, { agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => (text += part))
      response.once('end', () => resolve(eventLoopDelayP99(text)))
      response.once('error', () => resolve(undefined))
    })
    request.setTimeout(5000, () => request.destroy(new Error('no answer')))
    request.once('error', () => resolve(undefined))
  })
}
