/** User properties in encoded properties: added behind what is there, and read by name. */
import { PropertyId } from './properties.ts'
import { publishProperties } from './publish.ts'
import { encodeUtf8 } from './utf8.ts'

/** In CONNECT of a gateway's bridge, and in the CONNACK that answers one: the gateway's id. */
export const gatewayProperty = 'mqtide-gateway'

/** Encoded properties to which user properties are added, whose order stays [MQTT-3.3.2-18]. */
export class UserPropertyBytes {
  readonly #parts: Uint8Array[]
  #length: number

  constructor(properties: Uint8Array) {
    this.#parts = [properties]
    this.#length = properties.length
  }

  /** Neither text may be longer than 65,535 bytes. */
  add(name: string, value: string): void {
    const [key, text] = [encodeUtf8(name), encodeUtf8(value)]
    const head = Uint8Array.of(PropertyId.userProperty, key.length >> 8, key.length & 0xff)
    this.#parts.push(head, key, Uint8Array.of(text.length >> 8, text.length & 0xff), text)
    this.#length += 5 + key.length + text.length
  }

  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length)
    let at = 0
    for (const part of this.#parts) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }
}

/** The first user property of this name among PUBLISH properties, encoded without their length; undefined: there is none. */
export function userProperty(properties: Uint8Array, name: string): string | undefined {
  if (properties.length === 0) return undefined
  return publishProperties(properties).userProperties?.find(([key]) => key === name)?.[1]
}
