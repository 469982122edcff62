/** One process of the gateway without sockets: put together as `mqtide start` does, on a store and a clock of the life's own. */
import { composeGateway, type GatewayParts } from '../../src/compose.ts'
import { type GatewayOptions, parseGatewayOptions } from '../../src/config/schema.ts'
import { BrokerQueues } from '../../src/core/inspection/queues.ts'
import { BrokerStreams } from '../../src/core/inspection/streams.ts'
import type { DeclaredStream } from '../../src/core/logs/stream-definition.ts'
import { declareStreams } from '../../src/core/logs/stream-set.ts'
import type { Queues } from '../../src/core/ports/queues.ts'
import type { Streams } from '../../src/core/ports/streams.ts'
import type { ByteStream } from '../../src/engine/byte-stream.ts'
import type { Clock } from '../../src/engine/clock.ts'
import { Connection } from '../../src/engine/connection.ts'
import { LocalSubscription } from '../../src/engine/local-subscription.ts'
import { type OwnBundle, publishAllOwn } from '../../src/engine/own-bundle.ts'
import type { Store } from '../../src/store/store.ts'

export interface ProcessOptions {
  gateway: GatewayOptions
  /** How much of a queue stays in memory is no setting. */
  residentMessagesMax: number
  /** Declared once it has started. */
  streams: DeclaredStream[]
}

export class Process {
  readonly #parts: GatewayParts

  private constructor(parts: GatewayParts) {
    this.#parts = parts
  }

  static async start(store: Store, clock: Clock, options: ProcessOptions): Promise<Process> {
    const parts = await composeGateway(parseGatewayOptions(options.gateway), { store, clock })
    parts.broker.options.residentMessagesMax = options.residentMessagesMax
    parts.engine.run(() => declareStreams(parts.broker, options.streams))
    return new Process(parts)
  }

  accept(stream: ByteStream): Connection {
    const { engine } = this.#parts
    const connection = new Connection(engine, stream, 'fsync')
    engine.connections.add(connection)
    return connection
  }

  /** Ends the turn under way, as the event loop would. */
  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }

  /** What the process found to be its own fault: there must be nothing. */
  get fault(): string | undefined {
    const { failure, broker } = this.#parts
    if (failure.error !== undefined) return String(failure.error.stack)
    if (broker.counters.internalErrors > 0) return 'an internal error: repeat with MQTIDE_TORTURE_LOG=error'
    return this.#wrongTotals()
  }

  /** What is counted as it changes has to be what there is. */
  #wrongTotals(): string | undefined {
    const sessions = [...this.#parts.broker.sessionsByNumber.values()]
    const counted = [...this.#parts.broker.namespaces.values()].map(({ queueTotals }) => queueTotals)
    const waiting = sessions.reduce((sum, { queue }) => sum + queue.waiting, 0)
    const inflight = sessions.reduce((sum, { window }) => sum + window.inflight, 0)
    const total = (of: 'waiting' | 'inflight') => counted.reduce((sum, one) => sum + one[of], 0)
    if (total('waiting') === waiting && total('inflight') === inflight) return undefined
    return `wrong totals: ${total('waiting')} of ${waiting} wait, ${total('inflight')} of ${inflight} are in flight`
  }

  /** Counts what was written down for the store. */
  get appended(): number {
    return this.#parts.committer.appended
  }

  get dropped(): ReadonlyMap<string, number> {
    return this.#parts.broker.counters.messagesDropped.counts
  }

  /** As the store says when its disk becomes full, or has room again. */
  fill(full: boolean): void {
    this.#parts.diskWatch!.report(full)
  }

  /** That wait until they are due. */
  get delayedMessages(): number {
    return this.#parts.broker.gauges().delayedMessages
  }

  queues<T>(use: (queues: Queues) => T): T {
    const { engine, broker } = this.#parts
    return engine.call(() => use(new BrokerQueues(broker)))
  }

  streams<T>(use: (streams: Streams) => T): T {
    const { engine, broker } = this.#parts
    return engine.call(() => use(new BrokerStreams(broker)))
  }

  /** Within this call; resolves when it is committed. */
  bundle(bundle: OwnBundle): ReturnType<typeof publishAllOwn> {
    return publishAllOwn(this.#parts, bundle)
  }

  subscribe(filter: string): LocalSubscription {
    const { engine } = this.#parts
    return engine.call(() => new LocalSubscription(engine, [filter], () => {}))
  }

  stop(): void {
    this.#parts.engine.stop()
  }
}
