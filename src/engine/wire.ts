/** What is spoken on a connection: how packets are made of bytes, and bytes of packets. */
import type { JsonSink } from '../json/packets.ts'
import type { ProtocolVersion } from '../mqtt/packet.ts'
import type { ByteStream } from './byte-stream.ts'
import type { Connection } from './connection.ts'
import type { Engine } from './engine.ts'
import type { Output } from './output.ts'

/** Hands packets to the connection's client. It is closed by what it throws. */
export interface PacketDecoder {
  readonly version: ProtocolVersion | 0
  /** Taken for what is not whole yet, or waits because of a pause. */
  readonly memoryBytes: number
  /** The beginning of the packet at which an exception ended decoding. */
  readonly refusedBytes: Uint8Array | null
  push(chunk: Uint8Array, ends: boolean): void
  pause(): void
  resume(): void
  close(): void
  /** The next packet is for this one: the client, or who looks on and hands it to that. */
  handTo(sink: JsonSink): void
}

export type Wire = (
  engine: Engine,
  connection: Connection,
  stream: ByteStream,
) => { decoder: PacketDecoder; output: Output }
