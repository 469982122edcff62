/** What stands in lines for bytes, times and names, both ways. */
import { isUtf8 } from 'node:buffer'
import { encodeProperties } from '../../mqtt/encoder.ts'
import { PacketType, type Properties, type ProtocolVersion } from '../../mqtt/packet.ts'
import { publishProperties } from '../../mqtt/publish.ts'
import { noBytes } from '../records/table.ts'
import type { Protocol, WrittenContent } from './line.ts'

export const protocols: Readonly<Record<ProtocolVersion, Protocol>> = { 3: '3.1', 4: '3.1.1', 5: '5.0' }
export const versions: Readonly<Record<Protocol, ProtocolVersion>> = { '3.1': 3, '3.1.1': 4, '5.0': 5 }

/** The namespace that has no name in the store. */
export const unnamedNamespace = 'default'

export function contentOf(payload: Uint8Array, properties: Uint8Array): WrittenContent {
  const text = asText(payload)
  return {
    ...(payload.length === 0 ? {} : text === undefined ? { payloadBase64: base64Of(payload) } : { payload: text }),
    ...(properties.length > 0 && propertiesAsWritten(properties)),
  }
}

function asText(bytes: Uint8Array): string | undefined {
  return isUtf8(bytes) ? bufferOf(bytes).toString() : undefined
}

/** As fields where they say the same bytes again. */
function propertiesAsWritten(bytes: Uint8Array): WrittenContent {
  const fields = fieldsOf(bytes)
  if (fields === undefined) return { propertiesBase64: base64Of(bytes) }
  const { correlationData, userProperties, payloadFormatIndicator, contentType, responseTopic } = fields
  return {
    properties: {
      ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator: payloadFormatIndicator === 1 ? 1 : 0 }),
      ...(contentType !== undefined && { contentType }),
      ...(responseTopic !== undefined && { responseTopic }),
      ...(correlationData !== undefined && { correlationDataBase64: base64Of(correlationData) }),
      ...(userProperties !== undefined && { userProperties: userProperties.map(([name, text]) => [name, text]) }),
    },
  }
}

const written = new Set<string>([
  'payloadFormatIndicator',
  'contentType',
  'responseTopic',
  'correlationData',
  'userProperties',
])

function fieldsOf(bytes: Uint8Array): Properties | undefined {
  try {
    const fields = publishProperties(bytes)
    if (Object.keys(fields).some((name) => !written.has(name))) return undefined
    const again = encodeProperties(PacketType.publish, fields)
    return Buffer.compare(again, bytes) === 0 ? fields : undefined
  } catch {
    return undefined
  }
}

interface ReadContent {
  payload?: string | undefined
  payloadBase64?: string | undefined
  properties?:
    | {
        payloadFormatIndicator?: 0 | 1 | undefined
        contentType?: string | undefined
        responseTopic?: string | undefined
        correlationDataBase64?: string | undefined
        userProperties?: [string, string][] | undefined
      }
    | undefined
  propertiesBase64?: string | undefined
}

export function payloadOf({ payload, payloadBase64 }: ReadContent): Uint8Array {
  if (payloadBase64 !== undefined) return Buffer.from(payloadBase64, 'base64')
  return payload === undefined ? noBytes : Buffer.from(payload)
}

/** Throws a `ProtocolError` or a `RangeError` where they can't be a message's. */
export function propertiesOf({ properties, propertiesBase64 }: ReadContent): Uint8Array {
  if (propertiesBase64 !== undefined) {
    const bytes = Buffer.from(propertiesBase64, 'base64')
    publishProperties(bytes)
    return bytes
  }
  if (properties === undefined) return noBytes
  const { correlationDataBase64, payloadFormatIndicator, contentType, responseTopic, userProperties } = properties
  const bytes = encodeProperties(PacketType.publish, {
    ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator }),
    ...(contentType !== undefined && { contentType }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationDataBase64 !== undefined && { correlationData: Buffer.from(correlationDataBase64, 'base64') }),
    ...(userProperties !== undefined && { userProperties }),
  })
  publishProperties(bytes)
  return bytes
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length)
}

function base64Of(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('base64')
}
