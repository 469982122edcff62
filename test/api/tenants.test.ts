/** Tokens of one namespace: whatever they call, they see and change that namespace and nothing else. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ApiTokens, tokensPath } from '../../src/auth/api-tokens.ts'
import { createGateway } from '../../src/gateway.ts'
import { connectClient } from '../e2e/gateway.ts'
import { runCommand } from '../e2e/program.ts'
import { type Api, apiOf, expectProblem, type Page } from './api.ts'

/** Two tenants and whoever is in neither, each with a session, a subscription, a queue, a retained message and a drop. */
const namespaces = ['lab', 'plant', 'default'] as const

interface Tenants extends Api {
  /** With a token of role admin of namespace `lab`. */
  lab: Api['admin']
}

async function startTenants(): Promise<Tenants> {
  const listeners = namespaces.map((name) => {
    return { name, kind: 'tcp' as const, port: 0, ...(name !== 'default' && { namespace: name }) }
  })
  const gateway = await createGateway({
    logLevel: 'silent',
    inMemory: true,
    listeners: [...listeners, { kind: 'http', port: 0 }],
    namespaces: { lab: {}, plant: {} },
    limits: { sessionQueueMessagesMax: 1 },
  })
  await gateway.listen()
  const api = apiOf(gateway)
  for (const name of namespaces) {
    const { port } = gateway.listeners.find((one) => one.name === name)!
    const transport = { name, url: () => `mqtt://127.0.0.1:${port}` }
    const away = await connectClient(gateway, { clientId: `away of ${name}`, clean: false }, transport)
    await away.mqtt.subscribeAsync(`to/${name}`, { qos: 1 })
    await away.mqtt.endAsync()
    const client = await connectClient(gateway, { clientId: 'meter' }, transport)
    await client.mqtt.subscribeAsync(`of/${name}`, { qos: 1 })
    for (const _ of [1, 2]) await client.mqtt.publishAsync(`to/${name}`, `secret of ${name}`, { qos: 1 })
    await client.mqtt.publishAsync(`kept/${name}`, `secret of ${name}`, { qos: 1, retain: true })
  }
  const token = gateway.addApiToken('of the lab', 'admin', { namespace: 'lab' })
  return { ...api, lab: (path, call) => api.call(path, { token, ...call }) }
}

const lists = [
  '/clients',
  '/sessions',
  '/subscriptions',
  '/topics',
  '/drops',
  '/retained',
  '/clients?sort=-connectedAt',
]

describe('a token of one namespace', () => {
  it('sees what is in it, and of no list a line of another', async () => {
    const { lab, admin, gateway } = await startTenants()
    for (const path of lists) {
      const all = await admin<Page<{ namespace: string }>>(path)
      if (path !== '/retained') expect(new Set(all.body.items.map((one) => one.namespace)).size, path).toBe(3)
      const { status, body } = await lab<Page<{ namespace: string }>>(path)
      expect([path, status, new Set(body.items.map(({ namespace }) => namespace))]).toEqual([
        path,
        200,
        new Set(['lab']),
      ])
      expect(JSON.stringify(body), path).not.toMatch(/plant|default/)
    }
    expect((await lab('/drops')).body).toMatchObject({ linesLost: null })
    for (const path of [
      '/clients/meter',
      '/sessions/meter',
      '/retained/kept%2Flab',
      '/sessions/away%20of%20lab/queue',
    ]) {
      const { status, body } = await lab(path)
      expect([path, status]).toEqual([path, 200])
      expect(JSON.stringify(body)).toContain('lab')
    }
    expect((await lab('/routes?topic=to/lab')).body).toMatchObject({ recipientCount: 1 })
    await gateway.close()
  })

  it('is refused another one by its name, and finds nothing of it by other names', async () => {
    const { lab, gateway } = await startTenants()
    const owner = ['/clients/meter', '/sessions/meter', '/sessions/meter/queue', '/sessions/meter/subscriptions']
    for (const path of [...owner, '/retained/kept%2Fplant', '/retained?filter=%23', '/routes?topic=to/plant']) {
      for (const other of ['plant', 'default', '']) {
        expectProblem(await lab(`${path}${path.includes('?') ? '&' : '?'}namespace=${other}`), 403)
      }
    }
    for (const path of ['/sessions/away%20of%20plant', '/sessions/away%20of%20plant/queue', '/retained/kept%2Fplant']) {
      expectProblem(await lab(path), 404)
    }
    expect((await lab('/retained?filter=kept/plant')).body).toMatchObject({ items: [] })
    expect((await lab('/routes?topic=to/plant')).body).toMatchObject({ recipientCount: 0, recipients: [] })
    await gateway.close()
  })

  it('publishes, deletes and disconnects there and nowhere else', async () => {
    const { lab, admin, gateway } = await startTenants()
    const publish = (topic: string, namespace?: string) =>
      lab('/publish', { method: 'POST', body: { topic, payload: 'x', retain: true, namespace } })
    expectProblem(await publish('kept/plant', 'plant'), 403)
    expectProblem(await publish('kept/plant', 'default'), 403)
    expect((await publish('kept/plant')).status).toBe(200)
    expect((await admin('/retained/kept%2Fplant?namespace=plant')).body).toMatchObject({ payload: 'secret of plant' })
    expect((await admin('/retained/kept%2Fplant?namespace=lab')).body).toMatchObject({ payload: 'x' })
    const remove = (path: string) => lab(path, { method: 'DELETE' })
    for (const path of ['/clients/meter', '/sessions/meter', '/retained/kept%2Fplant', '/retained?filter=%23']) {
      expectProblem(await remove(`${path}${path.includes('?') ? '&' : '?'}namespace=plant`), 403)
    }
    expect((await remove('/retained?filter=%23')).body).toEqual({ deleted: 2 })
    expect((await remove('/clients/meter')).status).toBe(204)
    expectProblem(await remove('/sessions/away%20of%20plant'), 404)
    expect((await remove('/sessions/away%20of%20lab')).status).toBe(204)
    for (const other of ['plant', 'default']) {
      expect((await admin(`/retained/kept%2F${other}?namespace=${other}`)).status).toBe(200)
      expect((await admin(`/clients/meter?namespace=${other}`)).status).toBe(200)
      expect((await admin(`/sessions/away%20of%20${other}?namespace=${other}`)).status).toBe(200)
    }
    await gateway.close()
  })

  it.each([
    ['GET', '/listeners'],
    ['GET', '/limits'],
    ['GET', '/metrics'],
    ['GET', '/metrics/history'],
    ['GET', '/log-level'],
    ['PUT', '/log-level'],
    ['POST', '/explain'],
    ['POST', '/reload'],
    ['POST', '/backup'],
  ])('may not %s %s, which is about the whole gateway', async (method, path) => {
    const { lab, gateway } = await startTenants()
    const answer = await lab(path, { method, ...(method !== 'GET' && { body: {} }) })
    expectProblem(answer, 403)
    expect(answer.body['detail']).toContain('for namespace lab only')
    await gateway.close()
  })
})

it('mqtide api-token adds and shows tokens of a namespace, and refuses one that no namespace can be', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-tenant-tokens-'))
  const apiToken = (...words: string[]) => runCommand(['api-token', ...words, '--data-dir', dataDir])
  const { stdout } = await apiToken('add', 'panel', '--role', 'operator', '--namespace', 'lab')
  const found = new ApiTokens(tokensPath(dataDir)).find(stdout.toString().trim())
  expect(found).toEqual({ name: 'panel', role: 'operator', namespace: 'lab' })
  expect((await apiToken('list')).stdout.toString()).toMatch(/panel +operator +lab/)
  const refused = await apiToken('add', 'other', '--namespace', 'a/b')
  expect([refused.exitCode, refused.stderr.toString()]).toEqual([2, expect.stringContaining('the name of a namespace')])
  rmSync(dataDir, { recursive: true })
})
