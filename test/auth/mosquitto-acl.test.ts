/**
 * The same ACL files on Debian's Mosquitto and here: a thousand generated questions over real connections, the same answers.
 * The differences there may be are listed with their reasons.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync, type MqttClient } from 'mqtt'
import { expect, it } from 'vitest'
import { newPasswordHash } from '../../src/auth/password-hash.ts'
import { createGateway } from '../../src/gateway.ts'
import { startMosquitto } from '../e2e/mosquitto.ts'
import { describePeer } from '../peers.ts'

const files = 5
const questionsPerFile = 200

interface Identity {
  user: string | undefined
  clientId: string
}

interface Question {
  identity: Identity
  action: 'publish' | 'receive'
  topic: string
}

const identities: Identity[] = [
  { user: 'alice', clientId: 'c1' },
  { user: 'alice', clientId: 'c2' },
  { user: 'bob', clientId: 'bob' },
  { user: 'b+d', clientId: 'c3' },
  { user: 'c#', clientId: 'c4' },
  { user: 'x/y', clientId: 'c5' },
  { user: 'dora', clientId: 'p/q' },
  { user: '$data', clientId: 'c6' },
  { user: undefined, clientId: 'c7' },
]

/** Numbers that are the same in every run. */
function randomFrom(seed: number) {
  let state = seed
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  return { next, pick: <T>(list: readonly T[]): T => list[next(list.length)]! }
}
type Random = ReturnType<typeof randomFrom>

const words = ['a', 'a', 'b', 'b', 'alice', 'bob', 'c1', 'x', 'y', '$data', '']

function topicOf({ next, pick }: Random): string {
  const levels = Array.from({ length: 1 + next(3) }, () => pick(words))
  const topic = levels.join('/')
  return topic === '' ? 'a' : topic
}

function filterOf(random: Random, placeholders: readonly string[]): string {
  const { next, pick } = random
  const levels = Array.from({ length: 1 + next(3) }, () => pick([...words, '+', '+', '+', ...placeholders]))
  if (next(2) === 0) levels.push('#')
  const filter = levels.join('/')
  return filter === '' || filter.startsWith(' ') ? '#' : filter
}

function aclOf(random: Random): string {
  const { next, pick } = random
  const access = ['read ', 'write ', 'readwrite ', 'deny ', '']
  const lines = ['user admin', 'topic readwrite #', 'topic readwrite $data/#']
  const anonymous = Array.from({ length: 6 }, () => `topic ${pick(access)}${filterOf(random, [])}`)
  for (const user of ['alice', 'bob', 'b+d', 'x/y', 'dora']) {
    lines.push(`user ${user}`)
    for (let count = 2 + next(6); count > 0; count--) lines.push(`topic ${pick(access)}${filterOf(random, ['%u'])}`)
  }
  for (let count = 1 + next(6); count > 0; count--) {
    lines.push(`pattern ${pick(access)}${filterOf(random, ['%u', '%c', 'pre-%u', '%c'])}`)
  }
  return `${[...anonymous, ...lines].join('\n')}\n`
}

interface Broker {
  port: number
  stop(): Promise<unknown>
}

/** Every answer as one bit, in the order of the questions. */
async function answersOf(port: number, questions: readonly Question[]): Promise<boolean[]> {
  const login = ({ user, clientId }: Identity) =>
    connectAsync(`mqtt://127.0.0.1:${port}`, {
      clientId,
      protocolVersion: 5,
      reconnectPeriod: 0,
      ...(user !== undefined && { username: user, password: 'secret' }),
    })
  const admin = await login({ user: 'admin', clientId: 'admin' })
  const clients = new Map<Identity, MqttClient>()
  const received = new Map<Identity, Set<string>>()
  for (const identity of identities) {
    const client = await login(identity)
    const payloads = new Set<string>()
    client.on('message', (_topic, payload) => payloads.add(payload.toString()))
    await client.subscribeAsync(['#', '$data/#'])
    clients.set(identity, client)
    received.set(identity, payloads)
  }
  const published: boolean[] = []
  for (const [index, { identity, action, topic }] of questions.entries()) {
    const who = action === 'publish' ? clients.get(identity)! : admin
    const isAllowed = await who.publishAsync(topic, `${action} ${index}`, { qos: 1 }).then(
      () => true,
      () => false,
    )
    if (action === 'receive') expect(isAllowed, `admin publishes to ${topic}`).toBe(true)
    published.push(isAllowed)
  }
  // What was sent to a client stands before the answer to this.
  for (const client of clients.values()) await client.unsubscribeAsync('#')
  const answers = questions.map(({ identity, action }, index) =>
    action === 'publish' ? published[index]! : received.get(identity)!.has(`receive ${index}`),
  )
  await Promise.all([admin, ...clients.values()].map((client) => client.endAsync(true)))
  return answers
}

/**
 * What Mosquitto allows and we don't: with a user name or client id that holds a slash, or begins a topic with $, a pattern
 * would reach levels that are not the client's own.
 */
function isKnownDifference({ identity: { user, clientId } }: Question, acl: string): boolean {
  const patterns = acl.split('\n').filter((line) => line.startsWith('pattern'))
  return patterns.some(
    (line) =>
      (line.includes('%u') && user?.includes('/')) ||
      (line.includes('%c') && clientId.includes('/')) ||
      (/ %u/.test(line) && user?.startsWith('$')),
  )
}

describePeer("Mosquitto's answers", ['mosquitto'], ({ mosquitto }) => {
  it('to a thousand questions about generated ACL files are ours', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mqtide-acl-'))
    const users = join(folder, 'users')
    const hash = await newPasswordHash('sha512', new TextEncoder().encode('secret'))
    const names = new Set(['admin', ...identities.flatMap(({ user }) => user ?? [])])
    writeFileSync(users, [...names].map((name) => `${name}:${hash}\n`).join(''))
    let known = 0
    let allowed = 0
    const unknown: string[] = []
    for (let seed = 1; seed <= files; seed++) {
      const random = randomFrom(seed)
      const aclFile = join(folder, `acl-${seed}`)
      const acl = aclOf(random)
      writeFileSync(aclFile, acl)
      const questions = Array.from({ length: questionsPerFile }, (): Question => {
        const action = random.pick(['publish', 'receive'] as const)
        return { identity: random.pick(identities), action, topic: topicOf(random) }
      })
      const theirs = await startMosquitto(mosquitto, ['user root', `password_file ${users}`, `acl_file ${aclFile}`])
      const ours = await ourBroker(users, aclFile)
      const [expected, answers] = [await answersOf(theirs.port, questions), await answersOf(ours.port, questions)]
      await Promise.all([theirs.stop(), ours.stop()])
      for (const [index, question] of questions.entries()) {
        if (expected[index]) allowed++
        if (answers[index] === expected[index]) continue
        if (expected[index] && isKnownDifference(question, acl)) known++
        else
          unknown.push(`file ${seed}: ${JSON.stringify(question)}: Mosquitto ${expected[index]}, we ${answers[index]}`)
      }
    }
    rmSync(folder, { recursive: true })
    expect(unknown).toEqual([])
    // Both answers are given often enough for the comparison to mean something.
    expect(allowed).toBeGreaterThan(150)
    expect(allowed).toBeLessThan(800)
    expect(known).toBeLessThan(50)
  }, 300_000)
})

async function ourBroker(passwordFile: string, aclFile: string): Promise<Broker> {
  const gateway = await createGateway({
    mqttPort: 0,
    httpPort: false,
    inMemory: true,
    logLevel: 'silent',
    allowAnonymous: true,
    authentication: { passwordFile },
    authorization: { aclFile },
  })
  await gateway.listen()
  return { port: gateway.addresses.mqtt!.port, stop: () => gateway.close() }
}
