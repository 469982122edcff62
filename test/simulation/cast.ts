/** Who takes part in a life, and what happens how often. */
import { Client, type Surroundings, type Wish } from './client.ts'
import type { Random } from './random.ts'

export type Step =
  | 'publish'
  | 'turn'
  | 'serve'
  | 'read'
  | 'hurry'
  | 'connect'
  | 'drop'
  | 'disconnect'
  | 'wipe'
  | 'takeOver'
  | 'subscribe'
  | 'unsubscribe'
  | 'wait'
  | 'crash'
  | 'settle'
  | 'block'
  | 'hostile'

/** How often each happens. */
export const stepWeights: Record<Step, number> = {
  publish: 350,
  turn: 150,
  serve: 120,
  read: 160,
  hurry: 30,
  connect: 60,
  drop: 10,
  disconnect: 6,
  wipe: 1,
  takeOver: 4,
  subscribe: 6,
  unsubscribe: 3,
  wait: 20,
  crash: 3,
  settle: 5,
  block: 4,
  hostile: 5,
}

export function wishes(random: Random): Wish[] {
  const plain = ['t/#', 't/+/0', 't/1/#', 't/0/0', 'r/#'].map((filter) => {
    return { filter, qos: random.pick([0, 1, 2, 2] as const), noLocal: random.chance(0.1) }
  })
  const shared = { filter: '$share/g/s/#', qos: random.pick([0, 1, 2, 2] as const), noLocal: false }
  return [...plain, shared]
}

/** Some that stay for ever, some whose sessions expire, and some that end with their connection. */
export function clientsOf(random: Random, life: Surroundings): Client[] {
  const sessions = [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 300, 30, 0]
  return sessions.map((sessionSeconds, i) => {
    const own: Wish[] =
      i < 3 ? [random.pick(wishes(random))] : [random.pick(wishes(random)), random.pick(wishes(random))]
    if (i === 3) own.push({ filter: '$share/g/s/#', qos: 2, noLocal: false })
    if (i === 4) own.push({ filter: 't/#', qos: 2, noLocal: false })
    const version = sessionSeconds === 0 || sessionSeconds === 0xffffffff ? random.pick([4, 5] as const) : 5
    const keepAliveSeconds = random.pick([0, 0, 60])
    const distinct = [...new Map(own.map((wish) => [wish.filter, wish])).values()]
    return new Client(
      { id: `c${i}`, version, sessionSeconds, keepAliveSeconds, wishes: distinct, hasWill: random.chance(0.6) },
      life,
    )
  })
}
