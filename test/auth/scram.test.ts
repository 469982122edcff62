/** SCRAM-SHA-256 against the RFC's own exchange and a client that was written for this test alone. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { newPasswordHash, parsePasswordHash, type ScramVerifier, scramKeys } from '../../src/auth/password-hash.ts'
import { ScramExchange, type ScramStep } from '../../src/auth/scram.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const secret = Buffer.alloc(32, 7)

async function verifierFor(password: string): Promise<ScramVerifier> {
  return parsePasswordHash(await newPasswordHash('scram-sha-256', bytes(password))) as ScramVerifier
}

/** RFC 5802 from the client's side: the password in clear, and every message kept whole. */
class Client {
  readonly name: string
  readonly password: string
  readonly nonce = 'fyko+d2lbbFgONRv9qkxdawL'
  readonly header: string
  #sent = ''
  #expected = ''

  constructor(name: string, password: string, header = 'n,,') {
    this.name = name
    this.password = password
    this.header = header
  }

  first(): Uint8Array {
    this.#sent = `n=${this.name.replace(/=/g, '=3D').replace(/,/g, '=2C')},r=${this.nonce}`
    return bytes(this.header + this.#sent)
  }

  final(challenge: Uint8Array): Uint8Array {
    const server = Buffer.from(challenge).toString()
    const field = (name: string) =>
      server
        .split(',')
        .find((part) => part.startsWith(`${name}=`))!
        .slice(2)
    if (!field('r').startsWith(this.nonce)) throw new Error('not my nonce')
    const salted = pbkdf2Sync(this.password, Buffer.from(field('s'), 'base64'), Number(field('i')), 32, 'sha256')
    const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest()
    const clientKey = hmac(salted, 'Client Key')
    const open = `c=${Buffer.from(this.header).toString('base64')},r=${field('r')}`
    const all = [this.#sent, server, open].join(',')
    const mask = hmac(createHash('sha256').update(clientKey).digest(), all)
    this.#expected = hmac(hmac(salted, 'Server Key'), all).toString('base64')
    return bytes(`${open},p=${Buffer.from(clientKey.map((byte, at) => byte ^ mask[at]!)).toString('base64')}`)
  }

  trusts(answer: Uint8Array): boolean {
    return Buffer.from(answer).toString() === `v=${this.#expected}`
  }
}

function dataOf(step: ScramStep): Uint8Array {
  if (step.type === 'failure') throw new Error(`failed: ${step.reason}`)
  return step.data
}

describe('SCRAM-SHA-256', () => {
  it('is the exchange of RFC 7677 section 3, byte for byte', async () => {
    const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
    const verifier: ScramVerifier = {
      kind: 'scram-sha-256',
      iterations: 4096,
      salt,
      ...(await scramKeys(bytes('pencil'), salt, 4096)),
    }
    const exchange = new ScramExchange({
      verifierOf: () => verifier,
      secret,
      nonce: () => '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
    })
    const first = exchange.next(bytes('n,,n=user,r=rOprNGfwEbeRWgbNEkqO'))
    expect(Buffer.from(dataOf(first)).toString()).toBe(
      'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    )
    const last = exchange.next(
      bytes(
        'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
      ),
    )
    expect(last).toMatchObject({ type: 'success', user: 'user' })
    expect(Buffer.from(dataOf(last)).toString()).toBe('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')
  })

  it.each([
    ['alice', 'n,,'],
    ['alice', 'y,,'],
    ['a,b=c', 'n,,'],
    ['alice', 'n,a=alice,'],
    ['ünïcode 🚀', 'n,,'],
  ])('lets %s in with the header %s, and proves itself', async (name, header) => {
    const verifier = await verifierFor('pässword')
    const exchange = new ScramExchange({ verifierOf: (user) => (user === name ? verifier : undefined), secret })
    const client = new Client(name, 'pässword', header)
    const challenge = dataOf(exchange.next(client.first()))
    const end = exchange.next(client.final(challenge))
    expect(end).toMatchObject({ type: 'success', user: name })
    expect(client.trusts(dataOf(end))).toBe(true)
  })

  it('refuses a wrong password and an unknown user in the same words and with the same steps', async () => {
    const verifier = await verifierFor('right')
    const options = { verifierOf: (user: string) => (user === 'alice' ? verifier : undefined), secret }
    for (const name of ['alice', 'mallory']) {
      const exchange = new ScramExchange(options)
      const client = new Client(name, 'wrong')
      expect(exchange.next(client.final(dataOf(exchange.next(client.first()))))).toEqual({
        type: 'failure',
        reasonCode: 0x87,
        reason: 'wrong_password',
      })
    }
    const saltFor = (name: string) =>
      /,s=([^,]+),/.exec(
        Buffer.from(dataOf(new ScramExchange(options).next(new Client(name, '').first()))).toString(),
      )![1]
    expect(saltFor('mallory')).toBe(saltFor('mallory'))
    expect(saltFor('mallory')).not.toBe(saltFor('eve'))
  })

  it.each([
    ['nothing', undefined],
    ['no message of SCRAM', 'hello'],
    ['channel binding', 'p=tls-unique,,n=alice,r=abc'],
    ['a mandatory extension', 'n,,m=x,n=alice,r=abc'],
    ['a name with a bare equals sign', 'n,,n=al=ice,r=abc'],
    ['an empty name', 'n,,n=,r=abc'],
    ['no nonce', 'n,,n=alice,r='],
    ["somebody else's name to act under", 'n,a=root,n=alice,r=abc'],
    ['8 KB and more', `n,,n=alice,r=${'x'.repeat(9000)}`],
  ])('refuses a first message that holds %s', async (_what, text) => {
    const verifier = await verifierFor('right')
    const exchange = new ScramExchange({ verifierOf: () => verifier, secret })
    expect(exchange.next(text === undefined ? undefined : bytes(text))).toMatchObject({
      type: 'failure',
      reason: 'malformed',
    })
    expect(exchange.next(bytes('n,,n=alice,r=abc'))).toMatchObject({ type: 'failure' })
  })

  it.each([
    ['another nonce', (text: string) => text.replace(/r=[^,]+/, 'r=other')],
    ['another header', (text: string) => text.replace('c=biws', `c=${Buffer.from('y,,').toString('base64')}`)],
    ['a short proof', (text: string) => text.replace(/p=.*/, 'p=AAAA')],
    ['no proof', (text: string) => text.replace(/,p=.*/, '')],
  ])('refuses a final message with %s', async (_what, change) => {
    const verifier = await verifierFor('right')
    const exchange = new ScramExchange({ verifierOf: () => verifier, secret })
    const client = new Client('alice', 'right')
    const final = Buffer.from(client.final(dataOf(exchange.next(client.first())))).toString()
    expect(exchange.next(bytes(change(final)))).toMatchObject({ type: 'failure', reason: 'malformed' })
  })

  it('takes a proof once: neither another exchange nor a second time', async () => {
    const verifier = await verifierFor('right')
    const options = { verifierOf: () => verifier, secret }
    const exchange = new ScramExchange(options)
    const client = new Client('alice', 'right')
    const final = client.final(dataOf(exchange.next(client.first())))
    expect(exchange.next(final).type).toBe('success')
    expect(exchange.next(final).type).toBe('failure')
    const other = new ScramExchange(options)
    other.next(client.first())
    expect(other.next(final).type).toBe('failure')
  })
})
