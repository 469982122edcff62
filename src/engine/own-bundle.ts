/** A bundle of the program's: messages and verdicts on its jobs that are taken all or none, answered after the one commit that has them. */
import { type BundledVerdict, type BundleRefusal, bundleItemsMax } from '../core/ports/bundle.ts'
import type { QueueName, Settlement } from '../core/ports/queues.ts'
import { type BundleDone, publishBundle } from '../core/publish/bundle.ts'
import { BundleRefusedError } from './bundle-refused-error.ts'
import type { Engine } from './engine.ts'
import { Job, type JobVerdict } from './local-queue.ts'
import { type OwnMessage, ownMessage } from './own-message.ts'

export interface OwnBundle {
  readonly messages: readonly OwnMessage[]
  readonly verdicts: readonly BundledVerdict[]
}

interface Parts {
  engine: Engine
  committer: { settled(): Promise<void> }
}

/** Resolves when all of it is committed, or none was taken. Payloads are kept as they are. @throws RangeError for what can't be encoded */
export async function publishAllOwn(
  { engine, committer }: Parts,
  { messages, verdicts }: OwnBundle,
): Promise<BundleRefusal | BundleDone> {
  const items = messages.length + verdicts.length
  if (items === 0 || items > bundleItemsMax) {
    throw new RangeError(`expected 1 to ${bundleItemsMax} messages and verdicts, got ${items}`)
  }
  const { broker } = engine
  const made = messages.map((one) => {
    const messageAt = ownMessage(one)
    return { namespace: one.namespace ?? broker.defaultNamespace, retain: one.retain, messageAt }
  })
  const result = engine.call(() => {
    const bundled = made.map(({ namespace, retain, messageAt }) => {
      return { namespace, retain, message: messageAt(broker.now) }
    })
    return publishBundle(broker, { messages: bundled, verdicts, publisher: null })
  })
  if ('outcomes' in result) await committer.settled()
  return result
}

/** The same with jobs of the program's. Rejects with a `BundleRefusedError` where nothing was taken. */
export async function publishAndSettle(
  parts: Parts,
  messages: readonly OwnMessage[],
  settle: readonly (Job | JobVerdict)[],
): Promise<void> {
  const judged = settle.map((one): JobVerdict => (one instanceof Job ? { job: one, verdict: 'ack' } : one))
  const verdicts = judged.map(({ job: { lease }, verdict, delayMs, reason }): Settlement & { queue: QueueName } => {
    return { queue: lease.queue, delivery: lease.delivery, verdict, delayMs, reason }
  })
  const result = await publishAllOwn(parts, { messages, verdicts })
  if ('part' in result) throw new BundleRefusedError(result)
  for (const { job } of judged) job.lease.end()
}
