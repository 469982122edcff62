/**
 * Queues of brokers that have none for MQTT clients, spoken to in their own protocol by the client libraries that their makers name: AMQP 0-9-1
 * for RabbitMQ, JetStream for nats-server. What a publisher is told means what it means there (`bench/peers`).
 */
import { connect as connectAmqp } from 'amqplib'
import { AckPolicy, connect as connectNats, RetentionPolicy, StorageType } from 'nats'

export type WorkQueueEndpoint =
  | { protocol: 'amqp'; port: number; queueType: 'classic' | 'quorum' }
  | { protocol: 'jetstream'; port: number; storage: 'file' | 'memory' }

/** One connection. */
export interface QueuePublisher {
  /** `onAcknowledged` is called with false when the broker refused it. */
  publish(payload: Buffer, onAcknowledged: (taken: boolean) => void): void
}

export interface WorkQueue {
  publisher(): Promise<QueuePublisher>
  /** A connection that gets at most `prefetch` messages at a time. */
  worker(prefetch: number, onJob: (payload: Uint8Array, settle: () => void) => void): Promise<void>
  close(): Promise<void>
}

const queueName = 'bench'
const subject = 'bench.jobs'
const ackPendingMax = 100_000

export function openWorkQueue(endpoint: WorkQueueEndpoint): Promise<WorkQueue> {
  return endpoint.protocol === 'amqp' ? openAmqp(endpoint) : openJetStream(endpoint)
}

async function openAmqp({ port, queueType }: WorkQueueEndpoint & { protocol: 'amqp' }): Promise<WorkQueue> {
  const connections: Awaited<ReturnType<typeof connectAmqp>>[] = []
  const connect = async () => {
    const connection = await connectAmqp(`amqp://guest:guest@127.0.0.1:${port}`)
    connections.push(connection)
    return connection
  }
  const declaring = await (await connect()).createChannel()
  await declaring.assertQueue(queueName, { durable: true, arguments: { 'x-queue-type': queueType } })
  return {
    async publisher() {
      const channel = await (await connect()).createConfirmChannel()
      return {
        publish(payload, onAcknowledged) {
          channel.sendToQueue(queueName, payload, { persistent: true }, (error: unknown) =>
            onAcknowledged(error == null),
          )
        },
      }
    },
    async worker(prefetch, onJob) {
      const channel = await (await connect()).createChannel()
      await channel.prefetch(prefetch)
      await channel.consume(queueName, (message) => {
        if (message !== null) onJob(message.content, () => channel.ack(message))
      })
    },
    async close() {
      await Promise.all(connections.map((connection) => connection.close()))
    },
  }
}

async function openJetStream({ port, storage }: WorkQueueEndpoint & { protocol: 'jetstream' }): Promise<WorkQueue> {
  const connections: Awaited<ReturnType<typeof connectNats>>[] = []
  const connect = async () => {
    const connection = await connectNats({ servers: `127.0.0.1:${port}` })
    connections.push(connection)
    return connection
  }
  const manager = await (await connect()).jetstreamManager()
  const retention = RetentionPolicy.Workqueue
  await manager.streams.add({
    name: queueName,
    subjects: [subject],
    retention,
    storage: storage === 'file' ? StorageType.File : StorageType.Memory,
  })
  const consumer = { durable_name: 'workers', ack_policy: AckPolicy.Explicit, max_ack_pending: ackPendingMax }
  await manager.consumers.add(queueName, consumer)
  return {
    async publisher() {
      const stream = (await connect()).jetstream()
      return {
        publish(payload, onAcknowledged) {
          stream.publish(subject, payload).then(
            () => onAcknowledged(true),
            () => onAcknowledged(false),
          )
        },
      }
    },
    async worker(prefetch, onJob) {
      const from = await (await connect()).jetstream().consumers.get(queueName, 'workers')
      const messages = await from.consume({
        max_messages: prefetch,
        callback: (message) => onJob(message.data, () => message.ack()),
      })
      void messages.closed()
    },
    async close() {
      await Promise.all(connections.map((connection) => connection.close()))
    },
  }
}
