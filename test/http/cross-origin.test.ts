/** Pages of other origins at the API: what a browser asks for them, and what it is told. */
import { expect, onTestFinished, test } from 'vitest'
import { startApi } from '../api/api.ts'

const panel = 'https://panel.example'
const preflight = { origin: panel, 'access-control-request-method': 'POST' }

test('a page of an allowed origin may ask with a token, and reads the answer', async () => {
  const api = await startApi({ allowedOrigins: [panel] })
  const asked = await api.call('/tickets', { method: 'OPTIONS', headers: preflight })
  expect(asked.status).toBe(204)
  expect(asked.headers.get('access-control-allow-origin')).toBe(panel)
  expect(asked.headers.get('access-control-allow-methods')).toContain('POST')
  expect(asked.headers.get('access-control-allow-headers')).toContain('Authorization')
  expect(asked.headers.get('access-control-allow-credentials')).toBeNull()
  const { tokens } = api
  const answer = await api.call('/tickets', { method: 'POST', token: tokens.viewer, headers: { origin: panel } })
  expect(answer.status).toBe(201)
  expect(answer.headers.get('access-control-allow-origin')).toBe(panel)
  expect(answer.headers.get('vary')).toContain('Origin')
  const refused = await api.call('/clients', { headers: { origin: panel } })
  expect(refused.status).toBe(401)
  expect(refused.headers.get('access-control-allow-origin')).toBe(panel)
})

test('an event stream of an allowed origin can be read by its page', async () => {
  const api = await startApi({ allowedOrigins: [panel] })
  const { body } = await api.call<{ ticket: string }>('/tickets', { method: 'POST', token: api.tokens.viewer })
  const controller = new AbortController()
  onTestFinished(() => controller.abort())
  const headers = { origin: panel }
  const stream = await fetch(`${api.url}/stream?topic=a&ticket=${body.ticket}`, { headers, signal: controller.signal })
  expect(stream.status).toBe(200)
  expect(stream.headers.get('access-control-allow-origin')).toBe(panel)
})

test('any other origin is refused, asked before or not, and counted', async () => {
  const api = await startApi({ allowedOrigins: [panel] })
  const headers = { ...preflight, origin: 'https://elsewhere.example' }
  const refused = await api.call('/tickets', { method: 'OPTIONS', headers })
  expect(refused.status).toBe(403)
  expect(refused.headers.get('access-control-allow-origin')).toBeNull()
  expect((await api.call('/clients', { headers: { origin: 'https://elsewhere.example' } })).status).toBe(403)
  expect(api.gateway.metrics()['mqtide_pages_refused_total{reason="origin"}']).toBe(2)
})

test('a listener has origins of its own', async () => {
  const api = await startApi({
    mqttPort: undefined,
    httpPort: undefined,
    allowedOrigins: ['https://everywhere.example'],
    listeners: [
      { kind: 'http', port: 0, name: 'http', allowedOrigins: [panel] },
      { kind: 'http', port: 0, name: 'other' },
    ],
  })
  const { body } = await api.admin<{ items: { name: string; port: number }[] }>('/listeners')
  const asked = async (listener: string, origin: string) => {
    const { port } = body.items.find(({ name }) => name === listener)!
    return (await fetch(`http://127.0.0.1:${port}/api/v1/clients`, { headers: { origin } })).status
  }
  expect(await asked('http', panel)).toBe(401)
  expect(await asked('http', 'https://everywhere.example')).toBe(403)
  expect(await asked('other', panel)).toBe(403)
  expect(await asked('other', 'https://everywhere.example')).toBe(401)
})

test('our own pages are told nothing of it', async () => {
  const api = await startApi()
  const { origin } = new URL(api.url)
  const answer = await api.call('/clients', { headers: { origin } })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('access-control-allow-origin')).toBeNull()
})
