/** `/metrics` for everybody, for whoever has a token, or for nobody; each listener may say so itself. */
import { expect, it } from 'vitest'
import { parseGatewayOptions } from '../../src/config/schema.ts'
import { createGateway, type GatewayOptions } from '../../src/gateway.ts'
import { startGateway } from '../e2e/gateway.ts'

const read = (port: number, token?: string) =>
  fetch(
    `http://127.0.0.1:${port}/metrics`,
    token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
  )

it('are open unless somebody says otherwise', async () => {
  const gateway = await startGateway()
  const response = await read(gateway.addresses.http!.port)
  expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('mqtt_connections')])
})

it('with metrics: token take a token of the API, also of a program of this machine; one of a single namespace is refused', async () => {
  const gateway = await startGateway({ metrics: 'token', namespaces: { lab: {} } })
  const { port } = gateway.addresses.http!
  const without = await read(port)
  expect(without.status).toBe(401)
  expect(without.headers.get('www-authenticate')).toMatch(/^Bearer /)
  expect(await without.text()).not.toContain('mqtt_')
  expect((await read(port, 'mqtide_wrong')).status).toBe(401)
  expect((await read(port, gateway.addApiToken('lab', 'admin', { namespace: 'lab' }))).status).toBe(403)
  const with_ = await read(port, gateway.addApiToken('prometheus', 'viewer'))
  expect([with_.status, await with_.text()]).toEqual([200, expect.stringContaining('mqtt_connections')])
  for (const path of ['/livez', '/readyz']) expect((await fetch(`http://127.0.0.1:${port}${path}`)).status).toBe(200)
})

it('slow down an address that guesses tokens, and no right one', async () => {
  const gateway = await startGateway({ metrics: 'token' })
  const { port } = gateway.addresses.http!
  const wrong = await Promise.all(Array.from({ length: 14 }, () => read(port, 'mqtide_wrong')))
  expect(new Set(wrong.map(({ status }) => status))).toEqual(new Set([401, 429]))
  expect((await read(port, gateway.addApiToken('prometheus', 'viewer'))).status).toBe(200)
}, 30_000)

it('can be had at one listener and not at another', async () => {
  const listeners: GatewayOptions['listeners'] = [
    { name: 'public', kind: 'http', port: 0 },
    { name: 'ops', kind: 'http', port: 0, metrics: 'open' },
  ]
  const gateway = await createGateway({ inMemory: true, logLevel: 'silent', metrics: 'off', listeners })
  await gateway.listen()
  const statuses = await Promise.all(gateway.listeners.map(async ({ port }) => (await read(port!)).status))
  expect(statuses).toEqual([404, 200])
  await gateway.close()
})

it('belong to listeners of kinds http and https', () => {
  expect(() => parseGatewayOptions({ listeners: [{ kind: 'tcp', port: 1, metrics: 'off' }] })).toThrow(
    'listeners.0.metrics: belongs to listeners of kinds http and https',
  )
})
