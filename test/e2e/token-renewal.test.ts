/** Clients whose CONNECT names the tokens' method: they renew through AUTH and stay, over real sockets. */
import { SignJWT } from 'jose'
import type { IAuthPacket, IConnackPacket, IDisconnectPacket } from 'mqtt-packet'
import { expect, it } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { connectClient, startGateway, transports } from './gateway.ts'
import { connectRaw, type RawClient } from './raw-client.ts'

const secret = 'a-shared-secret-of-thirty-two-bytes!'
const bytes = (text: string) => new TextEncoder().encode(text)

const token = (expiresInSeconds: number, claims: object = {}, key = secret) =>
  new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject((claims as { sub?: string }).sub ?? 'tina')
    .setExpirationTime(Math.floor(Date.now() / 1000) + expiresInSeconds)
    .sign(bytes(key))

const options = (method?: string): GatewayOptions => ({
  authentication: { jwt: { secret, clockSkewSeconds: 0, ...(method !== undefined && { method }) } },
  authorization: { rules: [{ allow: 'all', topic: 'own/%u/#' }] },
  namespaces: { lab: {} },
})

const said = (data: string, method = 'JWT') => ({
  authenticationMethod: method,
  authenticationData: Buffer.from(data),
})

const auth = (data: string): IAuthPacket => ({ cmd: 'auth', reasonCode: 0x19, properties: said(data) })

async function rawConnect(gateway: Gateway, data: string, method = 'JWT'): Promise<RawClient> {
  const raw = await connectRaw(gateway, 'TCP', 5)
  const protocol = { protocolId: 'MQTT', protocolVersion: 5, clean: true, keepalive: 0 } as const
  raw.sendPacket({ cmd: 'connect', ...protocol, clientId: 'raw', properties: said(data, method) })
  await raw.until(() => raw.packets.length > 0)
  return raw
}

it.each(transports)(
  'a client of MQTT.js at $name that renews outlives its first token, with new rules',
  async (transport) => {
    const gateway = await startGateway(options())
    const first = await token(6, { acl: { pub: ['first/#'] } })
    const { mqtt, connack } = await connectClient(gateway, { protocolVersion: 5, properties: said(first) }, transport)
    expect(connack.properties?.authenticationMethod).toBe('JWT')
    await mqtt.publishAsync('first/1', '', { qos: 1 })
    const renewed = new Promise((resolve) => {
      mqtt.handleAuth = (packet, done) => {
        resolve(packet.reasonCode)
        done()
      }
    })
    const closed = new Promise((resolve) => mqtt.once('close', () => resolve('closed')))
    mqtt['_sendPacket'](auth(await token(300, { acl: { pub: ['second/#'] } })))
    expect(await renewed).toBe(0)
    await mqtt.publishAsync('second/1', '', { qos: 1 })
    await expect(mqtt.publishAsync('first/1', '', { qos: 1 })).rejects.toThrow(/[Nn]ot authorized/)
    const pause = new Promise((resolve) => setTimeout(() => resolve('open'), 6500))
    expect(await Promise.race([closed, pause])).toBe('open')
    await mqtt.publishAsync('own/tina/1', '', { qos: 1 })
  },
)

it('a client that does not renew is told that its time is over', async () => {
  const gateway = await startGateway(options())
  const raw = await rawConnect(gateway, await token(2))
  expect((raw.packets[0] as IConnackPacket).reasonCode).toBe(0)
  await raw.closed
  expect((raw.packets[1] as IDisconnectPacket).reasonCode).toBe(0xa0)
})

const otherKey = 'another-secret-of-thirty-two-bytes!!'
const wrongTokens: [string, number, () => Promise<string>][] = [
  ['signed with another key', 0x86, () => token(60, {}, otherKey)],
  ['that has expired', 0x87, () => token(-60)],
  ['for another client id', 0x85, () => token(60, { clientid: 'other' })],
  ['of a namespace that is not there', 0x87, () => token(60, { namespace: 'nowhere' })],
  ['of more than 16 KiB', 0x86, () => token(60, { filler: 'x'.repeat(16_384) })],
  ['of more bytes than any token and no form of one', 0x86, async () => 'x'.repeat(60_000)],
]

it.each(wrongTokens)('a token %s does not let a client in', async (_what, reasonCode, made) => {
  const gateway = await startGateway(options())
  const raw = await rawConnect(gateway, await made())
  expect((raw.packets[0] as IConnackPacket).reasonCode).toBe(reasonCode)
  await raw.closed
})

it.each([
  ...wrongTokens,
  ['of another principal', 0, () => token(60, { sub: 'toni' })],
  ['of another namespace', 0, () => token(60, { namespace: 'lab' })],
] as typeof wrongTokens)(
  '[MQTT-4.12.1-2] a renewal with a token %s ends the connection',
  async (_what, _code, made) => {
    const gateway = await startGateway(options())
    const raw = await rawConnect(gateway, await token(60))
    raw.sendPacket(auth(await made()))
    await raw.closed
    expect(raw.packets.slice(1)).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x87 }])
  },
)

it('the method has the name of the configuration, and no other', async () => {
  const gateway = await startGateway(options('K8S-SAT'))
  expect((await rawConnect(gateway, await token(60), 'K8S-SAT')).packets).toMatchObject([{ reasonCode: 0 }])
  expect((await rawConnect(gateway, await token(60), 'JWT')).packets).toMatchObject([{ reasonCode: 0x8c }])
})

it('tokens can not take the name of the method for passwords', async () => {
  await expect(startGateway(options('SCRAM-SHA-256'))).rejects.toThrow('authentication.jwt.method')
})
