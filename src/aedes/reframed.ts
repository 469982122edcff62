/** A PUBLISH that the program has changed, or that outlived its chunk while the program thought about it, as a frame again. */
import { emptyPublishFrame } from '../mqtt/decode-publish.ts'
import { Decoder } from '../mqtt/decoder.ts'
import { encodeProperties } from '../mqtt/encoder.ts'
import { type PacketSink, PacketType, type ProtocolVersion, type PublishFrame } from '../mqtt/packet.ts'
import { encodePublish } from '../mqtt/publish.ts'
import { encodeUtf8 } from '../mqtt/utf8.ts'
import { bytesOf, type IncomingPublishPacket } from './packets.ts'

export function isUnchanged(packet: IncomingPublishPacket, before: IncomingPublishPacket): boolean {
  const names = ['topic', 'payload', 'qos', 'retain', 'properties'] as const
  return names.every((name) => packet[name] === before[name])
}

export function frameOf(packet: IncomingPublishPacket, version: ProtocolVersion): PublishFrame {
  const { qos, retain, dup, messageId = 0 } = packet
  const {
    messageExpiryInterval,
    topicAlias: _alias,
    subscriptionIdentifiers: _ids,
    ...forwarded
  } = packet.properties ?? {}
  const parts = {
    topic: encodeUtf8(packet.topic),
    payload: bytesOf(packet.payload),
    forwardProperties: encodeProperties(PacketType.publish, forwarded),
  }
  const { bytes } = encodePublish(version, parts, {
    ...{ qos, retain, dup: dup && qos > 0, packetId: messageId },
    ...{
      expiryIntervalSeconds: messageExpiryInterval ?? -1,
      subscriptionIdentifiers: [],
      topicAlias: 0,
      omitTopic: false,
    },
  })
  const frame = emptyPublishFrame()
  const sink = { onPublish: (read: PublishFrame) => Object.assign(frame, read) } as unknown as PacketSink
  const options = { role: 'client', version, packetBytesMax: Number.POSITIVE_INFINITY, established: true } as const
  new Decoder(sink, options).push(bytes)
  return frame
}
