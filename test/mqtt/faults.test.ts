/** Every fault a peer can make, under the reason code and the rule that the specification names for it. */
import { describe, expect, it } from 'vitest'
import { Decoder } from '../../src/mqtt/decoder.ts'
import { connackFaults, connectFaults } from './faults/connect.ts'
import type { Fault } from './faults/fault.ts'
import { acknowledgementFaults, headerFaults, otherFaults, publishFaults, subscriptionFaults } from './faults/others.ts'
import { faultOf, gatheringSink, hex, opened, type Seen } from './packets.ts'

const noSink = gatheringSink([])

describe('as the first packet a server refuses', () => {
  it.each(connectFaults)('$name', ({ bytes, reasonCode, says, version }) => {
    for (const cut of [false, true]) {
      const decoder = new Decoder(noSink, { role: 'server', packetBytesMax: 1_000_000 })
      const fault = faultOf(() => {
        if (!cut) decoder.push(hex(bytes))
        else for (const byte of hex(bytes)) decoder.push(Uint8Array.of(byte))
      })
      // What other protocols begin with is only recognised when more than a byte of it is there.
      if (!cut || !bytes.includes("'")) expect(fault.message).toContain(says)
      expect(fault.reasonCode).toBe(reasonCode)
      expect(decoder.version).toBe(version)
    }
  })
})

describe('as the first packet a client refuses', () => {
  it.each(cases(connackFaults))('$name in version $version', ({ role, version, bytes, reasonCode, says }) => {
    const decoder = new Decoder(noSink, { role, version, packetBytesMax: 1_000_000 })
    const fault = faultOf(() => decoder.push(hex(bytes)))
    expect(fault.message).toContain(says)
    expect(fault.reasonCode).toBe(reasonCode)
  })
})

describe.each([
  ['fixed header', headerFaults],
  ['PUBLISH', publishFaults],
  ['acknowledgement', acknowledgementFaults],
  ['subscription', subscriptionFaults],
  ['other', otherFaults],
])('%s faults', (_, faults) => {
  it.each(cases(faults))('a $role of version $version refuses: $name', ({ role, version, bytes, reasonCode, says }) => {
    const { decoder, seen } = opened(role, version)
    const fault = faultOf(() => decoder.push(hex(bytes)))
    expect(fault.message).toContain(says)
    expect(fault.reasonCode).toBe(reasonCode)
    expect(seen).toEqual([])
  })

  it.each(cases(faults))('refuses alike in single bytes, version $version: $name', (one) => {
    const { decoder } = opened(one.role, one.version)
    const fault = faultOf(() => {
      for (const byte of hex(one.bytes)) decoder.push(Uint8Array.of(byte))
    })
    expect(fault.message).toContain(one.says)
    expect(fault.reasonCode).toBe(one.reasonCode)
  })

  it.each(cases(faults))('hands over what comes before, version $version: $name', ({ role, version, bytes }) => {
    const { decoder, seen } = opened(role, version)
    expect(faultOf(() => decoder.push(Buffer.concat([hex('40 02 0001'), hex(bytes), hex('40 02 0002')])))).toBeDefined()
    expect(seen.map(({ packetId }: Seen) => packetId)).toEqual([1])
  })
})

function cases(faults: readonly Fault[]) {
  return faults.flatMap((fault) => fault.versions.map((version) => ({ ...fault, version })))
}
