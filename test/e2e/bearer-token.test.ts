/** Tokens in the Authorization header of a WebSocket's handshake, with MQTT.js. */
import { SignJWT } from 'jose'
import mqtt from 'mqtt'
import { afterEach, expect, it } from 'vitest'
import { startGateway } from './gateway.ts'

const secret = 'a-shared-secret-of-thirty-two-bytes!'
const clients: mqtt.MqttClient[] = []

afterEach(() => {
  for (const client of clients.splice(0)) client.end(true)
})

const token = (key = secret) =>
  new SignJWT({})
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('tina')
    .setExpirationTime(Math.floor(Date.now() / 1000) + 300)
    .sign(new TextEncoder().encode(key))

async function serve() {
  const gateway = await startGateway({
    authentication: { jwt: { secret, tokenIn: 'bearer' } },
    allowAnonymous: true,
    authorization: { rules: [{ allow: 'all', topic: 'own/%u/#' }] },
  })
  return `ws://127.0.0.1:${gateway.addresses.http!.port}/mqtt`
}

/** What CONNACK said: 0, or the reason that it was refused with. */
function connectWith(
  url: string,
  authorization: string | undefined,
): Promise<{ client: mqtt.MqttClient; code: number }> {
  const headers = authorization === undefined ? {} : { authorization }
  const client = mqtt.connect(url, { protocolVersion: 5, reconnectPeriod: 0, wsOptions: { headers } })
  clients.push(client)
  return new Promise((resolve) => {
    client.on('connect', () => resolve({ client, code: 0 }))
    client.on('error', (error) => resolve({ client, code: (error as { code?: number }).code ?? -1 }))
  })
}

it('let their bearer in as the user that they name', async () => {
  const { client, code } = await connectWith(await serve(), `Bearer ${await token()}`)
  expect(code).toBe(0)
  await client.publishAsync('own/tina/1', '', { qos: 1 })
  await expect(client.publishAsync('own/bob/1', '', { qos: 1 })).rejects.toThrow(/[Nn]ot authorized/)
})

it.each([
  ['signed with another key', () => token('another-secret-of-thirty-two-bytes!!')],
  ['that are none', async () => 'no-token'],
])('%s make nobody anonymous', async (_what, bearer) => {
  expect((await connectWith(await serve(), `Bearer ${await bearer()}`)).code).toBe(0x86)
})

it('are not asked of who brings no header, or a header of another kind', async () => {
  const url = await serve()
  expect((await connectWith(url, undefined)).code).toBe(0)
  expect((await connectWith(url, 'Basic dGluYTp4')).code).toBe(0)
})
