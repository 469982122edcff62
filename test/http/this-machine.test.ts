/** Who is a program of this machine, and who only comes through one. */
import { describe, expect, it } from 'vitest'
import { comesFromThisMachine } from '../../src/http/host-check.ts'

const host = '127.0.0.1:8083'
const socket = { remoteAddress: '127.0.0.1' }

describe('a request is one of this machine', () => {
  it.each([
    [{ host }, socket],
    [{ host: 'localhost' }, { remoteAddress: '::1' }],
    [{ host: '[::1]:8083' }, { remoteAddress: '::ffff:127.0.0.1' }],
    [{ host, origin: 'http://127.0.0.1:8083' }, socket],
    [
      { host, origin: 'https://127.0.0.1:8083' },
      { ...socket, encrypted: true },
    ],
    [{ host, 'sec-fetch-site': 'same-origin' }, socket],
  ])('with %j from %j', (headers, from) => {
    expect(comesFromThisMachine({ headers, socket: from }, from.remoteAddress)).toBe(true)
  })
})

describe('a request is none', () => {
  it.each([
    ['from another machine', { host }, { remoteAddress: '192.0.2.1' }],
    ['without an address', { host }, {} as { remoteAddress?: string }],
    ['without a name', {}, socket],
    ['for another name', { host: 'gateway.example' }, socket],
    ['for an address of the network', { host: '192.0.2.1' }, socket],
    ['of a page elsewhere', { host, origin: 'http://localhost:3000' }, socket],
    ['of a page over TLS, where we have none', { host, origin: 'https://127.0.0.1:8083' }, socket],
    ['of a file or a sandboxed page', { host, origin: 'null' }, socket],
    ['of another site, as the browser says', { host, 'sec-fetch-site': 'same-site' }, socket],
    ['through a proxy', { host, 'x-forwarded-for': '192.0.2.1' }, socket],
    ['through a proxy that tells its port only', { host, 'x-forwarded-port': '443' }, socket],
    ['through a proxy of a proxy', { host, 'x-original-forwarded-for': '192.0.2.1' }, socket],
    ['through a balancer', { host, 'x-cluster-client-ip': '192.0.2.1' }, socket],
    ['through a proxy by another name', { host, forwarded: 'for=192.0.2.1' }, socket],
    ['through a cache', { host, via: '1.1 cache' }, socket],
    ['for a client that a trusted proxy names', { host }, socket, '192.0.2.1'],
  ])('%s', (_, headers, from, address?: string) => {
    expect(comesFromThisMachine({ headers, socket: from }, address ?? '127.0.0.1')).toBe(false)
  })
})
