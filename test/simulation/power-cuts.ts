/**
 * The whole broker under a seeded random life: publishers and lasting subscribers that come and go, commits that end late,
 * processes that die between any two steps. In the end every promise of MQTT is checked against what the clients saw.
 *
 * The clients are correct ones: they keep what they have not seen acknowledged, send it again in order with DUP after a
 * reconnect, acknowledge in the order of arrival, and keep QoS 2 packet identifiers for the life of their session.
 *
 * In a mixed life the publishers' listeners have different levels of durability, and a process may be killed, which leaves what
 * the operating system was handed, or lose its power, which leaves what was forced to the disk. Of what was not, any number of
 * the newest commits is gone.
 *
 * A run is a function of its seed: `npm run torture -- --seed 123` repeats one.
 */
import type { Qos } from '../../src/mqtt/packet.ts'
import type { Durability } from '../../src/store/store.ts'
import { DurableWorld, lasting } from '../core/durable-world.ts'
import type { Device, SeenPublish } from '../core/world.ts'
import { randomOf } from './random.ts'

interface Outgoing {
  packetId: number
  topic: string
  payload: string
  qos: Qos
  released: boolean
}

class Publisher {
  readonly id: string
  device: Device | null = null
  readonly durability: Durability
  readonly acknowledged: Outgoing[] = []
  /** Acknowledged and lost with what their level does not survive, if they were. */
  readonly excused = new Set<string>()
  #unacknowledged: Outgoing[] = []
  #sequence = 0
  /** CONNACK was read: what is old goes first. */
  #ready = false

  constructor(id: string, durability: Durability) {
    this.id = id
    this.durability = durability
  }

  excuse(): void {
    for (const { payload } of this.acknowledged) this.excused.add(payload)
    for (const { payload, released } of this.#unacknowledged) if (released) this.excused.add(payload)
  }

  connect(world: DurableWorld): void {
    this.#ready = false
    this.device = world.device(5, this.durability).connect({ clientId: this.id, ...lasting })
  }

  publish(random: () => number): void {
    if (this.device === null || !this.#ready || this.#unacknowledged.length > 20) return
    const qos: Qos = random() < 0.5 ? 1 : 2
    const topic = `t/${Math.floor(random() * 3)}`
    const packetId = (this.#sequence % 60_000) + 1
    const one = { packetId, topic, payload: `${this.id}:${this.#sequence++}`, qos, released: false }
    this.#unacknowledged.push(one)
    this.#send(one, false)
  }

  #send({ topic, payload, qos, packetId }: Outgoing, dup: boolean): void {
    this.device!.publish(topic, payload, { qos, packetId, dup })
  }

  read(): void {
    for (const packet of this.device?.take() ?? []) {
      if (packet.type === 'connack') this.#resume()
      else if ('packetId' in packet && packet.type !== 'publish') this.#answered(packet.type, packet.packetId)
    }
  }

  #resume(): void {
    this.#ready = true
    for (const one of this.#unacknowledged) {
      if (one.released) this.device!.acknowledge('pubrel', one.packetId)
      else this.#send(one, true)
    }
  }

  #answered(type: string, packetId: number): void {
    const one = this.#unacknowledged.find((other) => other.packetId === packetId)
    if (one === undefined) return
    if (type === 'pubrec') {
      one.released = true
      this.device!.acknowledge('pubrel', packetId)
    } else {
      this.#unacknowledged = this.#unacknowledged.filter((other) => other !== one)
      this.acknowledged.push(one)
    }
  }

  get idle(): boolean {
    return this.#unacknowledged.length === 0
  }
}

class Subscriber {
  readonly id: string
  readonly qos: Qos
  device: Device | null = null
  readonly received: SeenPublish[] = []
  #toAcknowledge: [type: 'puback' | 'pubrec' | 'pubcomp', packetId: number][] = []
  readonly #identifiers = new Set<number>()

  constructor(id: string, qos: Qos) {
    this.id = id
    this.qos = qos
  }

  connect(world: DurableWorld): void {
    this.#toAcknowledge = []
    this.device = world.device().connect({ clientId: this.id, ...lasting })
  }

  read(): void {
    for (const packet of this.device?.take() ?? []) {
      if (packet.type === 'publish') {
        if (packet.qos === 1) this.#toAcknowledge.push(['puback', packet.packetId])
        if (packet.qos === 2) this.#toAcknowledge.push(['pubrec', packet.packetId])
        if (packet.qos === 2 && this.#identifiers.has(packet.packetId)) continue
        if (packet.qos === 2) this.#identifiers.add(packet.packetId)
        this.received.push(packet)
      } else if (packet.type === 'pubrel') {
        this.#identifiers.delete(packet.packetId)
        this.#toAcknowledge.push(['pubcomp', packet.packetId])
      }
    }
  }

  acknowledge(count: number): void {
    for (const [type, packetId] of this.#toAcknowledge.splice(0, count)) this.device?.acknowledge(type, packetId)
  }
}

export interface TortureReport {
  acknowledged: number
  received: number
  restarts: number
  drops: number
  elided: number
  faults: string[]
}

/** Ends the process, and what is under way with it. */
function kill(world: DurableWorld): Promise<DurableWorld> {
  world.store.abandon()
  return world.restart()
}

/** Ends the process of a mixed life by a kill or a power cut, and starts another on what is left. */
async function die(world: DurableWorld, publishers: Publisher[], random: () => number): Promise<DurableWorld> {
  const { store } = world
  const surviving: Durability[] = random() < 0.5 ? ['fsync', 'process'] : ['fsync']
  for (const publisher of publishers) if (!surviving.includes(publisher.durability)) publisher.excuse()
  const safe = store.safe(...surviving)
  return world.restart(await store.cut(safe + Math.floor(random() * (store.batches.length - safe + 1))))
}

export async function torture(seed: number, steps: number, mixed = false): Promise<TortureReport> {
  const random = randomOf(seed)
  let world = new DurableWorld(undefined, random() < 0.5 ? 0 : 2)
  const levels = mixed ? (['fsync', 'process', 'none'] as const) : (['fsync', 'fsync', 'fsync'] as const)
  const publishers = levels.map((level, i) => new Publisher(`p${i}`, level))
  const subscribers = ([1, 2, 2, 1] as const).map((qos, i) => new Subscriber(`s${i}`, qos))
  const clients = [...publishers, ...subscribers]
  for (const subscriber of subscribers) {
    subscriber.connect(world)
    subscriber.device!.subscribe('t/#', subscriber.qos)
  }
  await world.settle()
  const report: TortureReport = { acknowledged: 0, received: 0, restarts: 0, drops: 0, elided: 0, faults: [] }
  for (let step = 0; step < steps; step++) {
    const client = clients[Math.floor(random() * clients.length)]!
    const chance = random()
    if (chance < (mixed ? 0.012 : 0.002)) {
      if (random() < 0.5) await world.store.finish()
      report.elided += world.committer.elidedReferences
      world = mixed ? await die(world, publishers, random) : await kill(world)
      for (const one of clients) one.device = null
      report.restarts++
    } else if (chance < (mixed ? 0.03 : 0.02)) {
      if (client.device !== null) report.drops++
      client.device?.drop()
      client.device = null
    } else if (chance < 0.5) {
      const publisher = publishers[Math.floor(random() * publishers.length)]!
      publisher.publish(random)
    } else if (chance < 0.65) world.turn()
    else if (chance < 0.75) await world.store.finish()
    else if (chance < 0.77) {
      world.now += 2
      world.fireTimers()
    } else if (chance < 0.82) {
      // Before the turn ends, so that references are elided.
      for (const subscriber of subscribers) {
        subscriber.read()
        subscriber.acknowledge(Number.POSITIVE_INFINITY)
      }
    } else if (client.device === null || client.device.link.closed !== undefined) client.connect(world)
    else {
      client.read()
      if (client instanceof Subscriber) client.acknowledge(Math.floor(random() * 6))
    }
  }
  await finish(world, publishers, subscribers)
  report.elided += world.committer.elidedReferences
  judge(publishers, subscribers, report)
  return report
}

/** Everybody comes back, and everything is said to the end. */
async function finish(world: DurableWorld, publishers: Publisher[], subscribers: Subscriber[]): Promise<void> {
  const clients = [...publishers, ...subscribers]
  for (const client of clients) if (client.device === null || client.device.link.closed) client.connect(world)
  for (let quiet = 0; quiet < 3; ) {
    const before = subscribers.reduce((sum, one) => sum + one.received.length, 0)
    await world.settle()
    for (const client of clients) client.read()
    for (const subscriber of subscribers) subscriber.acknowledge(Number.POSITIVE_INFINITY)
    const after = subscribers.reduce((sum, one) => sum + one.received.length, 0)
    quiet = after === before && publishers.every((one) => one.idle) ? quiet + 1 : 0
  }
}

function judge(publishers: Publisher[], subscribers: Subscriber[], report: TortureReport): void {
  for (const publisher of publishers) report.acknowledged += publisher.acknowledged.length
  for (const subscriber of subscribers) {
    report.received += subscriber.received.length
    const counts = new Map<string, number>()
    const last = new Map<string, number>()
    for (const { payload, topic, qos } of subscriber.received) {
      const count = (counts.get(payload) ?? 0) + 1
      counts.set(payload, count)
      if (count > 1) {
        if (qos === 2) report.faults.push(`${subscriber.id}: ${payload} came ${count} times at QoS 2`)
        continue
      }
      const [publisher, sequence] = payload.split(':') as [string, string]
      const stream = `${publisher} ${topic} ${qos}`
      if (Number(sequence) < (last.get(stream) ?? -1)) {
        report.faults.push(`${subscriber.id}: ${payload} on ${topic} came after ${last.get(stream)}`)
      }
      last.set(stream, Number(sequence))
    }
    for (const { payload } of publishers.flatMap((one) => one.acknowledged)) {
      if (publishers.some(({ excused }) => excused.has(payload))) continue
      if (!counts.has(payload)) report.faults.push(`${subscriber.id}: ${payload} was acknowledged and never came`)
    }
  }
}
