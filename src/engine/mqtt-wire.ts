/** MQTT as it is. */
import { Decoder } from '../mqtt/decoder.ts'
import { Output } from './output.ts'
import { chunkMemory } from './output-buffers.ts'
import type { Wire } from './wire.ts'

export const mqttWire: Wire = (engine, connection, stream) => {
  const { options } = engine.broker
  const decoder = new Decoder(connection.client, {
    role: 'server',
    packetBytesMax: options.packetBytesMax,
    connectPacketBytesMax: Math.min(400_000, options.packetBytesMax),
    limits: options,
    memory: chunkMemory,
  })
  return { decoder, output: new Output(stream, engine, connection) }
}
