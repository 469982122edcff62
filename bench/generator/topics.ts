/** Which topics publishers use and which filters subscribers hold, per topology. */

/**
 * - pair: subscriber i receives what publisher i sends
 * - fan-out: every subscriber receives everything
 * - fan-in: one subscriber receives from all publishers
 * - shared: all subscribers are one shared subscription group
 * - queue: all subscribers work on one queue
 * - stream: every subscriber reads all of one stream
 */
export type Topology = 'pair' | 'fan-out' | 'fan-in' | 'shared' | 'queue' | 'stream'

export const topologies: readonly Topology[] = ['pair', 'fan-out', 'fan-in', 'shared', 'queue', 'stream']

/** A queue, and a stream, that get all that the bench publishes. */
export const benchQueue = 'bench'
export const benchStream = 'bench'

const sites = 100

function telemetry(device: number): string {
  return `bench/site${device % 10}/dev${device}/telemetry`
}

/** With more than one topic per publisher, publisher p writes its own reading of every device. */
function reading(device: number, publisher: number): string {
  return `bench/site${device % sites}/dev${device}/reading${publisher}`
}

export function publisherTopics(topology: Topology, publisher: number, topicsPerPublisher: number): string[] {
  if (topicsPerPublisher === 1) return [telemetry(topology === 'fan-out' ? 0 : publisher)]
  return Array.from({ length: topicsPerPublisher }, (_, device) => reading(device, publisher))
}

export function filtersOf(topology: Topology, subscriber: number, topicsPerPublisher: number): string[] {
  const several = topicsPerPublisher > 1
  switch (topology) {
    case 'pair':
      return [several ? `bench/+/+/reading${subscriber}` : telemetry(subscriber)]
    case 'fan-out':
      return [several ? 'bench/+/+/reading0' : telemetry(0)]
    case 'fan-in':
      return [several ? 'bench/#' : 'bench/+/+/telemetry']
    case 'shared':
      return [several ? '$share/workers/bench/#' : '$share/workers/bench/+/+/telemetry']
    case 'queue':
      return [`$queue/${benchQueue}`]
    case 'stream':
      return [`$stream/${benchStream}`]
  }
}

const wildcardShapes = [
  (n: number) => `bench/site${n % sites}/+/alarm${n}`,
  (n: number) => `bench/+/dev${n}/alarm/#`,
  (n: number) => `bench/site${n % sites}/dev${n}/alarm/+/${n}`,
] as const

/**
 * Subscription number `n` of a crowd that no measured topic matches, but whose branches the topics walk through: 90 %
 * exact topics, 10 % with wildcards.
 */
export function crowdFilter(n: number): string {
  if (n % 10 === 9) return wildcardShapes[Math.floor(n / 10) % wildcardShapes.length]!(n)
  return `bench/site${n % sites}/dev${Math.floor(n / 10)}/setting${n % 10}`
}
