/** Peers that say anything: garbage, half packets, packets with a flipped bit, acknowledgements of what was never sent. */
import { generate } from 'mqtt-packet'
import type { Random } from './random.ts'
import type { Packet } from './wire.ts'
import { Wire } from './wire.ts'

const connect: Packet = {
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 5,
  clientId: 'hostile',
  clean: false,
  keepalive: 0,
}

const identities = 3

export class Hostile {
  readonly #random: Random
  #wires: Wire[] = []
  #sent = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Their process died. */
  forget(): void {
    for (const wire of this.#wires) wire.die()
    this.#wires = []
  }

  /** They go, and their sessions with them: those with full queues would refuse what others publish. */
  leave(open: (wire: Wire) => void): void {
    for (const wire of this.#wires) wire.drop()
    this.forget()
    for (let i = 0; i < identities; i++) {
      const wire = new Wire(5, this.#random)
      open(wire)
      wire.sendWhole({ ...connect, clientId: `hostile-${i}`, clean: true } as Packet)
      wire.drop()
    }
  }

  flush(): void {
    for (const wire of this.#wires) wire.flush()
  }

  act(open: (wire: Wire) => void): void {
    const random = this.#random
    this.#wires = this.#wires.filter(({ ended }) => !ended)
    if (this.#wires.length > 3) this.#wires.shift()!.drop()
    const wire = random.chance(0.4) && this.#wires.length > 0 ? random.pick(this.#wires) : this.#begin(open)
    wire.inbox.length = 0
    for (let count = random.below(6); count > 0; count--) wire.sendBytes(this.#bytes())
    if (random.chance(0.3)) wire.drop()
  }

  #begin(open: (wire: Wire) => void): Wire {
    const wire = new Wire(5, this.#random)
    open(wire)
    this.#wires.push(wire)
    const clientId = `hostile-${this.#random.below(identities)}`
    const properties = { sessionExpiryInterval: this.#random.pick([0, 100]) }
    if (this.#random.chance(0.8)) wire.sendWhole({ ...connect, clientId, properties } as Packet)
    return wire
  }

  #bytes(): Buffer {
    const random = this.#random
    if (random.chance(0.1)) return Buffer.from(Array.from({ length: random.below(40) }, () => random.below(256)))
    const bytes = Buffer.from(generate(this.#packet(), { protocolVersion: 5 } as Parameters<typeof generate>[1]))
    if (random.chance(0.3)) {
      const at = random.below(bytes.length)
      bytes[at] = bytes[at]! ^ (1 << random.below(8))
    }
    return random.chance(0.1) ? bytes.subarray(0, random.below(bytes.length)) : bytes
  }

  #packet(): Packet {
    const random = this.#random
    const messageId = 1 + random.below(30)
    const cmd = random.pick(['puback', 'pubrec', 'pubrel', 'pubcomp', 'publish', 'subscribe', 'unsubscribe'] as const)
    if (cmd === 'publish') {
      const payload = `hostile${this.#sent++} `
      return {
        cmd,
        topic: 'h/x',
        payload,
        qos: random.pick([0, 1, 2]),
        messageId,
        dup: false,
        retain: random.chance(0.5),
      }
    }
    if (cmd === 'subscribe') {
      const topic = random.pick(['t/#', '$share/h/s/#', 'h/#', 'r/+'])
      return { cmd, messageId, subscriptions: [{ topic, qos: random.pick([0, 1, 2]) }] }
    }
    if (cmd === 'unsubscribe') return { cmd, messageId, unsubscriptions: ['t/#'] }
    return { cmd, messageId }
  }
}
