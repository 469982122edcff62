/** Table 2-6 of the specification, written down by code: each of the 256 codes in each packet, from either side. */
import { describe, expect, it } from 'vitest'
import { reasonName } from '../../src/mqtt/reason-code.ts'
import { decode, decodeFirst, faultOf, hex, type Role } from './packets.ts'

const fromBoth = ['puback', 'pubrec', 'pubrel', 'pubcomp', 'disconnect', 'auth'] as const
const fromServers = ['connack', 'suback', 'unsuback'] as const
type Packet = (typeof fromBoth)[number] | (typeof fromServers)[number]

const publishAcks = ['puback', 'pubrec'] as const
const subscribeAcks = ['suback', 'unsuback'] as const
const everywhere = ['connack', ...publishAcks, ...subscribeAcks, 'disconnect'] as const
const ends = ['connack', 'disconnect'] as const

const packetsOf: Record<number, readonly Packet[]> = {
  0: [...fromBoth, ...fromServers],
  1: ['suback'],
  2: ['suback'],
  4: ['disconnect'],
  16: publishAcks,
  17: ['unsuback'],
  24: ['auth'],
  25: ['auth'],
  128: everywhere,
  129: ends,
  130: ends,
  131: everywhere,
  132: ['connack'],
  133: ['connack'],
  134: ['connack'],
  135: everywhere,
  136: ['connack'],
  137: ends,
  138: ['connack'],
  139: ['disconnect'],
  140: ends,
  141: ['disconnect'],
  142: ['disconnect'],
  143: [...subscribeAcks, 'disconnect'],
  144: [...ends, ...publishAcks],
  145: [...publishAcks, ...subscribeAcks],
  146: ['pubrel', 'pubcomp'],
  147: ['disconnect'],
  148: ['disconnect'],
  149: ends,
  150: ['disconnect'],
  151: [...ends, ...publishAcks, 'suback'],
  152: ['disconnect'],
  153: [...ends, ...publishAcks],
  154: ends,
  155: ends,
  156: ends,
  157: ends,
  158: ['suback', 'disconnect'],
  159: ends,
  160: ['disconnect'],
  161: ['suback', 'disconnect'],
  162: ['suback', 'disconnect'],
}

/** The column "sent by" of tables 3-10 and 3-11, where it is one side only. */
const bySenderAlone: Record<'disconnect' | 'auth', Record<'client' | 'server', readonly number[]>> = {
  disconnect: {
    client: [0x04],
    server: [0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2],
  },
  auth: { client: [0x19], server: [0x00] },
}

const bytesOf: Record<Packet, (code: string) => string> = {
  connack: (code) => `20 03 00 ${code} 00`,
  puback: (code) => `40 03 0001 ${code}`,
  pubrec: (code) => `50 03 0001 ${code}`,
  pubrel: (code) => `62 03 0001 ${code}`,
  pubcomp: (code) => `70 03 0001 ${code}`,
  suback: (code) => `90 04 0001 00 ${code}`,
  unsuback: (code) => `b0 04 0001 00 ${code}`,
  disconnect: (code) => `e0 01 ${code}`,
  auth: (code) => `f0 [ ${code} [ 15 "M" ] ]`,
}

function maySend(packet: Packet, sender: 'client' | 'server', code: number): boolean {
  if (!packetsOf[code]?.includes(packet)) return false
  if (packet !== 'disconnect' && packet !== 'auth') return true
  return !bySenderAlone[packet][sender === 'client' ? 'server' : 'client'].includes(code)
}

const cases = [
  ...fromBoth.map((packet) => ({ packet, role: 'server' as Role })),
  ...[...fromBoth, ...fromServers].map((packet) => ({ packet, role: 'client' as Role })),
]

describe('reason codes', () => {
  it.each(cases)(
    'of $packet to a $role are those of the table, all others a protocol error (2.4)',
    ({ packet, role }) => {
      const sender = role === 'server' ? 'client' : 'server'
      for (let code = 0; code < 256; code++) {
        const bytes = hex(bytesOf[packet](code.toString(16).padStart(2, '0')))
        const run = () => (packet === 'connack' ? decodeFirst(bytes, role) : decode(role, 5, bytes))
        if (maySend(packet, sender, code)) {
          const [seen] = run() as { reasonCode?: number; packet?: { reasonCode?: number; reasonCodes?: number[] } }[]
          expect(seen?.reasonCode ?? seen?.packet?.reasonCode ?? seen?.packet?.reasonCodes?.[0]).toBe(code)
        } else {
          const fault = faultOf(run)
          expect(`${code} ${fault.reasonCode}`).toBe(`${code} ${0x82}`)
          expect(fault.message).toContain('reason code')
        }
      }
    },
  )

  it('have names, for logs and metrics', () => {
    for (const code of Object.keys(packetsOf)) expect(reasonName(Number(code))).toMatch(/^[a-z_0-9]+$/)
    expect(reasonName(0x81)).toBe('malformed_packet')
    expect(reasonName(0x9b)).toBe('qos_not_supported')
    expect(reasonName(0xff)).toBe('0xff')
  })
})
