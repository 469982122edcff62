/** Client ids and topics of every kind, in paths of the API and of its commands. */
import { createServer, type Server } from 'node:http'
import { expect, it, onTestFinished } from 'vitest'
import { inPath } from '../../src/cli/api-client.ts'
import { connectClient } from '../e2e/gateway.ts'
import { runCommand } from '../e2e/program.ts'
import { type Api, startApi } from './api.ts'

const names = [
  ...['.', '..', '~', '~.', '~..', '~~.', '~a', '...', './', '../x', 'a/../b', '/', '//', 'a//b', '/a/'],
  ...['%', '%2F', 'a%2Fb', '%zz', '%25', '%252F', '%2e', '?', 'a?b=c', '&', '=', ';', ':', '{clientId}', '\\'],
  ...['ü', '水', '😀', ' ', 'a b', "'", '"', '<b>', 'queue', 'subscriptions', '~%2E', '*', 'http://x/y'],
]

it('every client id and every topic can be named', async () => {
  const api = await startApi()
  for (const name of names) {
    const client = await connectClient(api.gateway, { clientId: name })
    for (const path of ['/clients/', '/sessions/']) {
      const { status, body } = await api.call(`${path}${inPath(name)}`)
      expect([name, status, body['clientId']]).toEqual([name, 200, name])
    }
    expect((await api.call(`/sessions/${inPath(name)}/queue`)).body).toEqual({ items: [], nextCursor: null })
    expect((await api.admin(`/clients/${inPath(name)}`, { method: 'DELETE' })).status).toBe(204)
    await client.mqtt.endAsync(true)
    await api.gateway.publish({ topic: name, payload: 'x', retain: true })
    expect((await api.call(`/retained/${inPath(name)}`)).body).toMatchObject({ topic: name })
    expect((await api.admin(`/retained/${inPath(name)}`, { method: 'DELETE' })).status).toBe(204)
    expect((await api.call('/retained?filter=%23')).body).toMatchObject({ items: [] })
  }
}, 60_000)

/** A proxy that serves the gateway below a path. */
async function startProxy(api: Api): Promise<{ server: Server; url: string }> {
  const { origin } = new URL(api.url)
  const server = createServer(async ({ url = '' }, response) => {
    const [, path] = /^\/plant\/mqtt(\/.*)$/.exec(url) ?? []
    const answer = path === undefined ? new Response('nothing here', { status: 404 }) : await fetch(origin + path)
    response.writeHead(answer.status).end(await answer.text())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { server, url: `http://127.0.0.1:${(server.address() as { port: number }).port}/plant/mqtt` }
}

it('a command finds a gateway that a proxy serves below a path, with and without a slash at its end', async () => {
  const api = await startApi()
  await connectClient(api.gateway, { clientId: '..' })
  const { url } = await startProxy(api)
  for (const given of [url, `${url}/`]) {
    const { exitCode, stdout, stderr } = await runCommand(['clients', 'show', '..', '--json', '--url', given])
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(JSON.parse(stdout.toString())).toMatchObject({ clientId: '..' })
  }
})
