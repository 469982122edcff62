/** Another server as the one who decides: its forms of answers, and what becomes of clients when it fails. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { AddressThrottle, defaultAddressThrottle } from '../../src/auth/address-throttle.ts'
import type { Credential } from '../../src/auth/credential.ts'
import { HttpHook, type HttpHookOptions } from '../../src/auth/http-hook.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

interface Asked {
  path: string
  headers: IncomingMessage['headers']
  body: string
}

async function hookWith(answer: (asked: Asked, response: ServerResponse) => void, more: Partial<HttpHookOptions> = {}) {
  const asked: Asked[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const one = { path: request.url!, headers: request.headers, body }
    asked.push(one)
    answer(one, response)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const world = { now: 1_000_000 }
  const clock = () => world.now
  const hook = new HttpHook({
    preset: 'emqx',
    url: `${url}/auth`,
    body: 'json',
    responseMode: 'status',
    headers: {},
    timeoutMs: 2000,
    concurrencyMax: 2,
    queueMax: 3,
    rememberMs: 10_000,
    rememberedMax: 100,
    failuresMax: 3,
    openMs: 5000,
    throttle: new AddressThrottle(defaultAddressThrottle, clock),
    now: clock,
    sleep: async () => {},
    ...more,
    ...(more.superuserUrl !== undefined && { superuserUrl: url + more.superuserUrl }),
  })
  const check = async (credential: Partial<Credential> = {}) =>
    hook.check({
      clientId: 'c1',
      username: 'alice',
      password: bytes('sécret'),
      version: 5,
      remoteAddress: '192.0.2.1:9',
      ...credential,
    })
  return { check, asked, world, hook }
}

const says = (value: unknown) => (_asked: Asked, response: ServerResponse) => response.end(JSON.stringify(value))
const status = (code: number) => (_asked: Asked, response: ServerResponse) => response.writeHead(code).end()

describe("EMQX's form", () => {
  it('asks with what the client brought and takes the rights that come back', async () => {
    const acl = [{ permission: 'allow', action: 'publish', topic: 'a/#' }]
    const { check, asked } = await hookWith(says({ result: 'allow', is_superuser: false, expire_at: 1234, acl }), {
      headers: { authorization: 'Bearer ours' },
    })
    const answer = await check()
    expect(answer).toMatchObject({
      type: 'yes',
      identity: { name: 'alice', expiresAt: 1_234_000, rules: [{ topics: ['a/#'] }] },
    })
    expect(asked[0]!.headers).toMatchObject({ 'content-type': 'application/json', authorization: 'Bearer ours' })
    expect(JSON.parse(asked[0]!.body)).toEqual({
      username: 'alice',
      password: 'sécret',
      clientid: 'c1',
      peerhost: '192.0.2.1',
    })
  })

  it.each([
    ['allow', says({ result: 'allow' }), { type: 'yes', identity: { name: 'alice' } }],
    [
      'allow for a superuser',
      says({ result: 'allow', is_superuser: true }),
      { type: 'yes', identity: { superuser: true } },
    ],
    ['204', status(204), { type: 'yes', identity: { name: 'alice' } }],
    ['deny', says({ result: 'deny' }), { type: 'no', reasonCode: 0x86, reason: 'hook_refused' }],
    ['401', status(401), { type: 'no', reasonCode: 0x86, reason: 'hook_refused' }],
    ['ignore', says({ result: 'ignore' }), { type: 'not-mine' }],
  ])('understands %s', async (_what, answer, expected) => {
    const { check } = await hookWith(answer)
    expect(await check()).toMatchObject(expected)
  })

  it.each([
    ['500', status(500)],
    ['a redirection', (_asked: Asked, response: ServerResponse) => response.writeHead(302, { location: '/yes' }).end()],
    ['no JSON', (_asked: Asked, response: ServerResponse) => response.end('allow')],
    ['another word', says({ result: 'yes' })],
    ['nothing', says({})],
    ['a list', says([])],
    ['rules that are none', says({ result: 'allow', acl: 'all' })],
    ['an expiry that is none', says({ result: 'allow', expire_at: 'soon' })],
    ['more than 64 KB', says({ result: 'allow', padding: 'x'.repeat(70_000) })],
    ['nothing at all: it hangs up', (_asked: Asked, response: ServerResponse) => response.destroy()],
  ])('takes %s for a failure, whose words hold no credential', async (_what, answer) => {
    const { check } = await hookWith(answer as (asked: Asked, response: ServerResponse) => void)
    const failed = await check().catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(Error)
    expect(String(failed)).not.toMatch(/sécret|alice/)
  })
})

describe("Mosquitto-go-auth's form", () => {
  const preset = 'mosquitto-go-auth'
  it.each([
    ['status', status(200), true],
    ['status', status(401), false],
    ['json', says({ Ok: true, Error: '' }), true],
    ['json', says({ Ok: false, Error: 'no' }), false],
    ['text', (_asked: Asked, response: ServerResponse) => response.end('ok'), true],
    ['text', (_asked: Asked, response: ServerResponse) => response.end('wrong credentials'), false],
  ] as const)('with the response mode %s (%#)', async (responseMode, answer, isYes) => {
    const { check } = await hookWith(answer as (asked: Asked, response: ServerResponse) => void, {
      preset,
      responseMode,
    })
    expect((await check()).type).toBe(isYes ? 'yes' : 'no')
  })

  it('can ask as a form, and whether the user may do everything', async () => {
    const answer = ({ path, body }: Asked, response: ServerResponse) =>
      response.writeHead(path === '/auth' || body.includes('root') ? 200 : 403).end()
    const { check, asked } = await hookWith(answer, { preset, body: 'form', superuserUrl: '/superuser' })
    expect(await check()).toEqual({ type: 'yes', identity: { name: 'alice' } })
    expect(await check({ username: 'root' })).toEqual({ type: 'yes', identity: { name: 'root', superuser: true } })
    expect(asked.map(({ path }) => path)).toEqual(['/auth', '/superuser', '/auth', '/superuser'])
    expect(asked[0]!.body).toBe('username=alice&password=s%C3%A9cret&clientid=c1')
    expect(asked[1]!.body).toBe('username=alice')
  })
})

describe('a hook', () => {
  it('is not asked about clients without a user name', async () => {
    const { check, asked } = await hookWith(says({ result: 'allow' }))
    expect(await check({ username: undefined, password: undefined })).toEqual({ type: 'not-mine' })
    expect(await check({ password: new Uint8Array(60_000) })).toMatchObject({ reason: 'credential_too_long' })
    expect(asked).toHaveLength(0)
  })

  it('that hangs is given up after its time', async () => {
    const { check } = await hookWith(() => {}, { timeoutMs: 20 })
    await expect(check()).rejects.toThrow('the hook did not answer in time')
  })

  it('is asked once for the same credential, and not again for a while after a yes', async () => {
    const { check, asked, world } = await hookWith(says({ result: 'allow' }))
    await Promise.all(Array.from({ length: 50 }, () => check()))
    await check()
    expect(asked).toHaveLength(1)
    await check({ password: bytes('other') })
    await check({ clientId: 'c2' })
    expect(asked).toHaveLength(3)
    world.now += 10_001
    await check()
    expect(asked).toHaveLength(4)
  })

  it('is asked again each time after a no', async () => {
    const { check, asked } = await hookWith(says({ result: 'deny' }))
    await check()
    await check()
    expect(asked).toHaveLength(2)
  })

  it('gets so many requests at a time; so many wait and the others are refused at once with 0x89', async () => {
    const held: ServerResponse[] = []
    const { check, asked } = await hookWith((_asked, response) => held.push(response))
    const pending = Array.from({ length: 9 }, (_, index) => check({ clientId: `c${index}` }))
    const busy = await Promise.all(pending.slice(5))
    expect(busy).toEqual(Array.from({ length: 4 }, () => ({ type: 'no', reasonCode: 0x89, reason: 'busy' })))
    const release = setInterval(() => {
      for (const response of held.splice(0)) response.end('{"result":"allow"}')
    }, 1)
    expect((await Promise.all(pending.slice(0, 5))).every(({ type }) => type === 'yes')).toBe(true)
    clearInterval(release)
    expect(asked).toHaveLength(5)
  })

  it('is left alone after failures in a row, then tried by one request', async () => {
    let isDown = true
    const { check, asked, world } = await hookWith((one, response) =>
      (isDown ? status(500) : says({ result: 'allow' }))(one, response),
    )
    for (let index = 0; index < 3; index++) await expect(check()).rejects.toThrow()
    expect(await check()).toEqual({ type: 'no', reasonCode: 0x88, reason: 'hook_failed' })
    expect(asked).toHaveLength(3)
    world.now += 5000
    const again = await Promise.allSettled([check({ clientId: 'a' }), check({ clientId: 'b' })])
    expect(asked).toHaveLength(4)
    expect(again[1]).toMatchObject({ value: { type: 'no', reasonCode: 0x88 } })
    isDown = false
    world.now += 5000
    expect(await check()).toMatchObject({ type: 'yes' })
    expect(await check({ clientId: 'x' })).toMatchObject({ type: 'yes' })
  })
})
