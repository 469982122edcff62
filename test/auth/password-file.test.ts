/** Logins against a file of users: who gets in, what a flood of wrong ones costs, and what is remembered. */
import { beforeAll, describe, expect, it } from 'vitest'
import { AddressThrottle, defaultAddressThrottle } from '../../src/auth/address-throttle.ts'
import type { Credential, StepAnswer } from '../../src/auth/credential.ts'
import { PasswordFile, type PasswordFileOptions, parsePasswordFile } from '../../src/auth/password-file.ts'
import { newPasswordHash } from '../../src/auth/password-hash.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
/** As mosquitto_passwd wrote it for "secret": few rounds, so that tests are quick. */
const aliceLine =
  'alice:$7$101$QQLKGbMqKu7ShBTq$oIjQTeVUbLuXOaaz/8BD6Ty7RcBqwyHOfd65OheY8scefnJsKEnkbNr4sxKkolKi/onVFJ0c0/t7sP/YZ26x1A=='
let bobLine: string

beforeAll(async () => {
  bobLine = `bob:${await newPasswordHash('sha512', bytes('hunter2'))}`
})

function world(options: Partial<PasswordFileOptions> = {}) {
  let now = 1_000_000
  const slept: number[] = []
  const clock = () => now
  const full: PasswordFileOptions = {
    hashingMax: 2,
    hashQueueMax: 4,
    hashWaitMsMax: 5_000,
    rememberMs: 60_000,
    rememberedMax: 3,
    throttle: new AddressThrottle(defaultAddressThrottle, clock),
    now: clock,
    sleep: async (ms) => {
      slept.push(ms)
    },
    ...options,
  }
  const file = new PasswordFile(parsePasswordFile(`${aliceLine}\n${bobLine}\n`, 'users'), full)
  const login = (username?: string, password?: string, remoteAddress = '192.0.2.1:40000') => {
    const credential: Credential = {
      clientId: 'c',
      username,
      password: password === undefined ? undefined : bytes(password),
      version: 5,
      remoteAddress,
    }
    return file.check(credential)
  }
  return { file, login, slept, advance: (ms: number) => (now += ms) }
}

const yes = (name: string): StepAnswer => ({ type: 'yes', identity: { name } })
const wrong: StepAnswer = { type: 'no', reasonCode: 0x86, reason: 'wrong_password' }

describe('a file of users', () => {
  it('lets in who knows the password, by hashes of different kinds', async () => {
    const { login } = world()
    expect(await login('alice', 'secret')).toEqual(yes('alice'))
    expect(await login('bob', 'hunter2')).toEqual(yes('bob'))
    expect(await login('alice', 'hunter2')).toEqual(wrong)
    expect(await login('Alice', 'secret')).toEqual(wrong)
    expect(await login('alice', '')).toEqual(wrong)
  })

  it('leaves what is no user name with a password to the next step', () => {
    const { login } = world()
    expect(login()).toEqual({ type: 'not-mine' })
    expect(login('alice')).toEqual({ type: 'not-mine' })
    expect(login(undefined, 'secret')).toEqual({ type: 'not-mine' })
  })

  it('hashes for an unknown user as for a known one, and may leave it to the next step', async () => {
    const { login } = world()
    const pending = login('mallory', 'secret')
    expect(pending).toBeInstanceOf(Promise)
    expect(await pending).toEqual(wrong)
    const passing = world({ passOnUnknownUsers: true })
    expect(await passing.login('mallory', 'secret')).toEqual({ type: 'not-mine' })
    expect(await passing.login('alice', 'wrong')).toEqual(wrong)
  })

  it("an unknown user with another one's password stays out", async () => {
    const { login } = world()
    for (let index = 0; index < 5; index++) {
      expect(await login(`unknown${index}`, 'secret')).toEqual(wrong)
      expect(await login(`unknown${index}`, 'hunter2')).toMatchObject({ type: 'no' })
    }
  })

  it('remembers a verified credential for a while and answers at once', async () => {
    const { login, advance } = world()
    await login('alice', 'secret')
    expect(login('alice', 'secret')).toEqual(yes('alice'))
    expect(login('alice', 'secre7')).toBeInstanceOf(Promise)
    advance(60_001)
    const again = login('alice', 'secret')
    expect(again).toBeInstanceOf(Promise)
    expect(await again).toEqual(yes('alice'))
  })

  it('forgets a verified credential when the entry changes', async () => {
    const { file, login } = world()
    await login('alice', 'secret')
    const other = `alice:${await newPasswordHash('sha512', bytes('new'))}`
    expect(file.replace(parsePasswordFile(`${other}\n${bobLine}`, 'users'))).toEqual(['alice'])
    expect(await login('alice', 'secret')).toEqual(wrong)
    expect(await login('alice', 'new')).toEqual(yes('alice'))
    expect(file.replace(parsePasswordFile(other, 'users'))).toEqual(['bob'])
    expect(await login('bob', 'hunter2')).toEqual(wrong)
  })

  it('refuses a login that was under way when the user was taken out', async () => {
    const { file, login } = world()
    const pending = login('alice', 'secret')
    file.replace(parsePasswordFile(bobLine, 'users'))
    expect(await pending).toEqual(wrong)
  })

  it('hashes once for all that bring the same credential at the same time', async () => {
    const { login } = world()
    const answers = await Promise.all(Array.from({ length: 500 }, () => login('alice', 'secret')))
    expect(answers.every((answer) => answer.type === 'yes')).toBe(true)
  })

  it('hashes so many at a time, lets so many wait and refuses the others at once with 0x89', async () => {
    const { login } = world()
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => login('alice', `guess ${index}`, `192.0.2.${index}:1`)),
    )
    const busy = answers.filter((answer) => answer.type === 'no' && answer.reasonCode === 0x89)
    expect(busy).toHaveLength(20 - 2 - 4)
    expect(await login('alice', 'secret')).toEqual(yes('alice'))
  })

  it('hashes nothing for logins that have waited too long, so that those after a flood are served', async () => {
    const { login, advance } = world({ hashingMax: 1 })
    const answers = ['1', '2', '3'].map((end) => login('alice', 'secret', `192.0.2.${end}:1`))
    const others = [login('bob', 'guess', '192.0.2.4:1'), login('bob', 'hunter2', '192.0.2.5:1')]
    advance(5_001)
    expect(await Promise.all(answers)).toEqual([yes('alice'), yes('alice'), yes('alice')])
    const late = { type: 'no', reasonCode: 0x89, reason: 'busy' }
    expect(await Promise.all(others)).toEqual([late, late])
    expect(await login('bob', 'hunter2', '192.0.2.5:1')).toEqual(yes('bob'))
  })

  it('hashes no more of what an address sent at once than the mistakes that it has free, and what was begun by then', async () => {
    const { login } = world({ hashingMax: 1, hashQueueMax: 100 })
    const flood = Array.from({ length: 50 }, (_, index) => login('bob', `guess ${index}`))
    const other = login('bob', 'hunter2', '198.51.100.1:1')
    const reasons = (await Promise.all(flood)).map((answer) => answer.type === 'no' && answer.reason)
    expect(reasons.filter((reason) => reason === 'wrong_password')).toHaveLength(
      defaultAddressThrottle.mistakesFree + 1,
    )
    expect(reasons.filter((reason) => reason === 'throttled')).toHaveLength(44)
    expect(await other).toEqual(yes('bob'))
  })

  it.each([
    ['a password of 60 KB', 'alice', 'x'.repeat(60_000)],
    ['a name of 60 KB', 'x'.repeat(60_000), 'secret'],
  ])('refuses %s without hashing it', (_what, name, password) => {
    const { login } = world()
    expect(login(name, password)).toEqual({ type: 'no', reasonCode: 0x86, reason: 'credential_too_long' })
  })
})

describe('wrong answers', () => {
  it('slow their address down, more with each, and at last are refused unheard', async () => {
    const { login, slept } = world()
    for (let index = 0; index < 5; index++) await login('alice', `guess ${index}`)
    expect(slept).toEqual([])
    await login('alice', 'guess 5')
    await login('alice', 'guess 6')
    expect(slept).toEqual([250, 750])
    await login('alice', 'guess 7')
    expect(slept).toEqual([250, 750, 1750])
    await login('alice', 'guess 8')
    expect(await login('alice', 'guess 9')).toEqual({ type: 'no', reasonCode: 0x89, reason: 'throttled' })
    expect(slept).toEqual([250, 750, 1750, 3750])
  })

  it('do not slow down another address, nor clients that are known', async () => {
    const { login, slept } = world()
    await login('alice', 'secret')
    for (let index = 0; index < 9; index++) await login('alice', `guess ${index}`)
    slept.length = 0
    expect(login('alice', 'secret')).toEqual(yes('alice'))
    expect(await login('bob', 'hunter2', '192.0.2.2:1')).toEqual(yes('bob'))
    expect(slept).toEqual([])
  })

  it('are forgiven after a minute without one', async () => {
    const { login, slept, advance } = world()
    for (let index = 0; index < 8; index++) await login('alice', `guess ${index}`)
    slept.length = 0
    advance(60_001)
    await login('alice', 'secret')
    expect(slept).toEqual([])
  })

  it('count for an IPv6 network of 64 bits together, and for IPv4 in IPv6 as for IPv4', async () => {
    const { login, slept } = world()
    for (let index = 0; index < 6; index++) await login('alice', `guess ${index}`, `2001:db8:1:2::${index}:1883`)
    expect(slept).toHaveLength(1)
    await login('bob', 'hunter2', '2001:db8:1:3::1:1883')
    expect(slept).toHaveLength(1)
    for (let index = 0; index < 6; index++) await login('alice', `guess ${index}`, '192.0.2.9:1')
    await login('bob', 'wrong', '::ffff:192.0.2.9:1')
    expect(slept).toHaveLength(3)
  })

  it('of more addresses than are kept push out the oldest', () => {
    const throttle = new AddressThrottle({ ...defaultAddressThrottle, mistakesFree: 1, addressesMax: 2 }, () => 0)
    for (const address of ['192.0.2.1:1', '192.0.2.2:1', '192.0.2.3:1']) throttle.mistake(address)
    expect(throttle.reserve('192.0.2.1:1')).toBe(0)
    expect(throttle.reserve('192.0.2.2:1')).toBe(250)
  })
})

describe('the text of a file of users', () => {
  it('may hold comments, empty lines and the line ends of Windows', () => {
    const users = parsePasswordFile(`# users\r\n\r\n${aliceLine}\r\n${bobLine}`, 'users')
    expect([...users.keys()]).toEqual(['alice', 'bob'])
  })

  it('names file and line of every fault, and never the hash or a password', () => {
    const text = [aliceLine, 'no colon', 'carol:plaintext-password', 'dave:', ':x', aliceLine, 'a\u0007b:$6$a$b'].join(
      '\n',
    )
    let message = ''
    try {
      parsePasswordFile(text, '/etc/mqtide/users')
    } catch (error) {
      message = (error as Error).message
    }
    expect(message.split('\n').map((line) => line.split(': ')[0])).toEqual([
      '/etc/mqtide/users:2',
      '/etc/mqtide/users:3',
      '/etc/mqtide/users:4',
      '/etc/mqtide/users:5',
      '/etc/mqtide/users:6',
      '/etc/mqtide/users:7',
    ])
    expect(message).not.toContain('plaintext-password')
    expect(message).not.toContain(aliceLine.slice(10))
  })

  it('of another kind gives a message of bounded length', () => {
    const text = 'x\n'.repeat(100_000)
    expect(() => parsePasswordFile(text, 'users')).toThrow(/and 99980 more/)
  })
})
