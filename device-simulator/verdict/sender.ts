/**
 * The sender's side of the books: per device, publication and QoS, what was sent and what the broker acknowledged.
 */
import { RangeSet } from './range-set.ts'

export interface StreamId {
  /** Index of the device in the whole swarm, as the envelope has it. */
  device: number
  /** Publication x 3 + QoS. */
  stream: number
}

export class SenderStream {
  readonly device: number
  readonly stream: number
  readonly topic: string
  /** Sequences 0..sent-1 were handed to a connection or, QoS 1 and 2, to the client's outbox. */
  sent = 0
  readonly acknowledged = new RangeSet()
  /** Acknowledged with a reason code of 0x80 or more. */
  refused: RangeSet | undefined
  /** Sent a second time on purpose by the fault `duplicate-sender`. */
  repeated: RangeSet | undefined
  /** Written on a connection that then broke, in a clean session: MQTT lets QoS 2 arrive twice then. */
  resentAcrossSessions = false

  constructor(device: number, stream: number, topic: string) {
    this.device = device
    this.stream = stream
    this.topic = topic
  }

  get qos(): number {
    return this.stream % 3
  }

  refuse(sequence: number): void {
    this.refused ??= new RangeSet()
    this.refused.add(sequence)
  }

  repeat(sequence: number): void {
    this.repeated ??= new RangeSet()
    this.repeated.add(sequence)
  }

  snapshot(): SenderSnapshot {
    return {
      device: this.device,
      stream: this.stream,
      topic: this.topic,
      sent: this.sent,
      acknowledged: this.acknowledged.toPairs(),
      refused: this.refused?.toPairs() ?? [],
      repeated: this.repeated?.toPairs() ?? [],
      resentAcrossSessions: this.resentAcrossSessions,
    }
  }
}

/** Plain data, for another thread. */
export interface SenderSnapshot extends StreamId {
  topic: string
  sent: number
  acknowledged: number[]
  refused: number[]
  repeated: number[]
  resentAcrossSessions: boolean
}
