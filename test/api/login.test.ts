/** Logging in by cookie over real sockets: what a browser is given, and what is refused that another page makes it ask. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Identity } from '../../src/api/schemas.ts'
import { changeTokens, tokensPath } from '../../src/auth/api-tokens.ts'
import { type Api, expectProblem, nobody, startApi } from './api.ts'

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

async function logIn(api: Api, token: string, more: Record<string, string> = {}) {
  const answer = await api.call<Identity>('/login', { method: 'POST', headers: { ...bearer(token), ...more } })
  expect(answer.status).toBe(200)
  const [setCookie = ''] = answer.headers.getSetCookie()
  const [cookie = ''] = setCookie.split(';')
  return { setCookie, headers: { cookie }, csrf: { 'x-csrf-token': answer.body.csrfToken! }, identity: answer.body }
}

const asText = (api: Api) => ({ port: api.gateway.addresses.http!.port })

test('a login is a cookie that no script reads and no other site sends', async () => {
  const api = await startApi(nobody)
  const { setCookie, headers, identity } = await logIn(api, api.tokens.operator)
  const { port } = asText(api)
  expect(setCookie).toMatch(new RegExp(`^mqtide-login-${port}=[\\w-]{43}; Path=/; HttpOnly; SameSite=Strict$`))
  expect(identity).toMatchObject({ token: 'o', role: 'operator' })
  const { body } = await api.call<Identity>('/identity', { headers })
  expect(body).toEqual(identity)
  expect((await api.call('/clients', { headers })).status).toBe(200)
})

test('behind a proxy that ends TLS it is a __Host- cookie, for https alone', async () => {
  const api = await startApi(nobody)
  const origin = `https://127.0.0.1:${asText(api).port}`
  const { setCookie, headers } = await logIn(api, api.tokens.viewer, { origin })
  expect(setCookie).toMatch(/^__Host-mqtide-login-\d+=.*; Path=\/; HttpOnly; SameSite=Strict; Secure$/)
  expect((await api.call('/clients', { headers })).status).toBe(200)
})

test('what changes something brings the CSRF token, and the role decides as before', async () => {
  const api = await startApi(nobody)
  const { headers, csrf } = await logIn(api, api.tokens.operator)
  const publish = (more: Record<string, string>) =>
    api.call('/publish', { method: 'POST', body: { topic: 'a' }, headers: { ...headers, ...more } })
  expectProblem(await publish({}), 403)
  expectProblem(await publish({ 'x-csrf-token': 'x' }), 403)
  expect((await publish(csrf)).status).toBe(200)
  expectProblem(await api.call('/reload', { method: 'POST', headers: { ...headers, ...csrf } }), 403)
  const other = await logIn(api, api.tokens.operator)
  expectProblem(await publish(other.csrf), 403)
})

test('a page of another origin or port has nothing of the cookie', async () => {
  const api = await startApi(nobody)
  const { headers } = await logIn(api, api.tokens.admin)
  for (const foreign of [
    { origin: 'http://localhost:1' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site' },
  ]) {
    expectProblem(await api.call('/clients', { headers: { ...headers, ...foreign } as Record<string, string> }), 401)
  }
  const elsewhere = { ...bearer(api.tokens.admin), origin: 'http://localhost:1' }
  expectProblem(await api.call('/login', { method: 'POST', headers: elsewhere }), 403)
})

test('a login ends when it is told to, and with its token; a cookie that says nothing is as good as none', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-login-'))
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }))
  const api = await startApi({ ...nobody, inMemory: false, dataDir })
  const { headers, csrf } = await logIn(api, api.tokens.viewer)
  expectProblem(await api.call('/login', { method: 'DELETE', headers }), 403)
  const out = await api.call('/login', { method: 'DELETE', headers: { ...headers, ...csrf } })
  expect(out.status).toBe(204)
  expect(out.headers.getSetCookie()[0]).toMatch(/=; .*; Max-Age=0$/)
  // Many times: it is no wrong token, which would slow its address down.
  for (let i = 0; i < 10; i++) expectProblem(await api.call('/clients', { headers }), 401)
  const token = api.gateway.addApiToken('panel', 'viewer')
  const second = await logIn(api, token)
  changeTokens(tokensPath(dataDir), (tokens) => tokens.filter(({ name }) => name !== 'panel'))
  expectProblem(await api.call('/clients', { headers: second.headers }), 401)
  expectProblem(await api.call('/login', { method: 'POST' }), 401)
})

test('an event stream and a ticket are had by cookie, too', async () => {
  const api = await startApi(nobody)
  const { headers, csrf } = await logIn(api, api.tokens.viewer)
  const controller = new AbortController()
  onTestFinished(() => controller.abort())
  const stream = (query: string, own: Record<string, string>) =>
    fetch(`${api.url}/stream?topic=a${query}`, { headers: own, signal: controller.signal })
  expect((await stream('', headers)).status).toBe(200)
  const { status, body } = await api.call<{ ticket: string }>('/tickets', {
    method: 'POST',
    headers: { ...headers, ...csrf },
  })
  expect(status).toBe(201)
  expect((await stream(`&ticket=${body.ticket}`, {})).status).toBe(200)
})
