/** Who may make which call: tokens and roles, programs of this machine, and whoever is neither. */
import { request } from 'node:http'
import { connect } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { type Api, expectProblem, nobody, startApi } from './api.ts'

/** fetch sets Host and Origin by itself. */
function statusWith({ url }: Api, path: string, headers: Record<string, string>, method = 'GET'): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}${path}`, { method, headers }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode!))
    })
    sent.on('error', reject)
    sent.end()
  })
}

describe('without authentication', () => {
  it('programs of this machine read and publish without a token', async () => {
    const api = await startApi()
    expect((await api.call('/clients')).status).toBe(200)
    expect((await api.call('/retained?filter=%23')).status).toBe(200)
    expect((await api.call('/publish', { method: 'POST', body: { topic: 'a' } })).status).toBe(200)
  })

  it('what deletes or disconnects needs a token all the same', async () => {
    const api = await startApi()
    await connectClient(api.gateway, { clientId: 'device' })
    const answer = await api.call('/clients/device', { method: 'DELETE' })
    expectProblem(answer, 401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /)
    expectProblem(await api.call('/retained?filter=%23', { method: 'DELETE' }), 401)
    expect((await api.call('/clients/device')).status).toBe(200)
    expect((await api.call('/clients/device', { method: 'DELETE', token: api.tokens.operator })).status).toBe(204)
    await eventually(async () => (await api.call('/clients/device')).status).toBe(404)
  })

  it.each([
    ['a proxy that says so', { 'x-forwarded-for': '203.0.113.9' }, 401],
    ['a proxy that says so otherwise', { forwarded: 'for=203.0.113.9' }, 401],
    ['a page of another port of this machine', { origin: 'http://localhost:3000' }, 401],
    ['a page that a browser says to be of another site', { 'sec-fetch-site': 'cross-site' }, 401],
    ['a name that is not this machine’s', { host: '192.0.2.1:8083' }, 401],
    ['a name that was pointed here', { host: 'evil.example' }, 421],
    ['a page of somebody else', { origin: 'https://evil.example' }, 403],
    ['localhost', { host: 'localhost:8083' }, 200],
  ])('asked through %s: %j is answered %i', async (_, headers, status) => {
    const api = await startApi()
    expect(await statusWith(api, '/clients', headers as unknown as Record<string, string>)).toBe(status)
  })

  it('our own page reads without a token', async () => {
    const api = await startApi()
    expect(await statusWith(api, '/clients', { origin: new URL(api.url).origin })).toBe(200)
  })
})

describe('with authentication', () => {
  it('every call needs a token, also those for paths that are not there; /livez and /readyz need none', async () => {
    const api = await startApi(nobody)
    for (const path of ['', '/openapi.json', '/clients', '/metrics', '/nothing'])
      expectProblem(await api.call(path), 401)
    expectProblem(await api.call('/publish', { method: 'POST', body: { topic: 'a' } }), 401)
    expect((await api.call('/clients', { token: api.tokens.viewer })).status).toBe(200)
    for (const path of ['/livez', '/readyz']) expect((await fetch(new URL(path, api.url))).status).toBe(200)
  })

  it('a role may do what those below it may, and no more', async () => {
    const api = await startApi(nobody)
    const publish = (token: string) => api.call('/publish', { method: 'POST', body: { topic: 'a' }, token })
    expectProblem(await publish(api.tokens.viewer), 403)
    expect((await publish(api.tokens.operator)).status).toBe(200)
    expect((await publish(api.tokens.admin)).status).toBe(200)
  })

  it('a wrong token is a mistake: the first are answered 401, then 429 with a time to come again', async () => {
    const api = await startApi(nobody)
    const answers = await Promise.all(Array.from({ length: 14 }, () => api.call('/clients', { token: 'mqtide_wrong' })))
    const statuses = new Set(answers.map(({ status }) => status))
    expect(statuses).toEqual(new Set([401, 429]))
    const late = answers.find(({ status }) => status === 429)!
    expectProblem(late, 429)
    expect(late.headers.get('retry-after')).toBe('5')
    expect((await api.call('/clients', { token: api.tokens.viewer })).status).toBe(200)
  }, 20_000)

  it.each(['Basic dXNlcjpwYXNz', 'Bearer', 'Bearer a b', `Bearer ${'x'.repeat(5000)}`])(
    '%.20s is no token',
    async (authorization) => {
      const api = await startApi(nobody)
      expectProblem(await api.call('/clients', { headers: { authorization } }), 401)
    },
  )

  it('a wrong token is not taken for no token where none is needed', async () => {
    const api = await startApi()
    expectProblem(await api.call('/clients', { token: 'mqtide_wrong' }), 401)
  })
})

describe('a request whose Host is no name', () => {
  it.each(['localhost:99999', 'a<.localhost', 'x y.localhost'])(
    '%s is the caller’s fault, said as a problem',
    async (host) => {
      const api = await startApi()
      const socket = connect(Number(new URL(api.url).port), '127.0.0.1')
      socket.write(`GET /api/v1/clients HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
      const answer = await textOf(socket)
      expect(answer).toMatch(/^HTTP\/1.1 400 /)
      expect(answer).toContain('application/problem+json')
    },
  )
})

describe('tokens of a gateway in memory', () => {
  it('are made by the program alone; two of one name are refused', async () => {
    const gateway = await startGateway()
    expect(gateway.addApiToken('panel', 'viewer')).toMatch(/^mqtide_[\w-]{43}$/)
    expect(() => gateway.addApiToken('panel', 'admin')).toThrow('there is a token named panel already')
  })
})
