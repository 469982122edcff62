/**
 * Who is who in a swarm: a pure function of the scenario, so that every thread knows every device's number, client id and
 * topics without asking.
 */
import { availableParallelism } from 'node:os'
import { devicesMax, streamsPerDeviceMax } from './payload/envelope.ts'
import { canCarryEnvelope } from './payload/payload.ts'
import type { GroupSpec, Protocol, PublicationSpec, Scenario } from './scenario/schema.ts'
import { fillTemplate, type Variables } from './template.ts'
import { TopicIndex } from './verdict/topic.ts'

export interface GroupLayout {
  name: string
  spec: GroupSpec
  /** The number of its first device in the whole swarm. */
  firstDevice: number
  /** Index of its first stream in the ledger. */
  firstSlot: number
  slotsPerDevice: number
}

export type Identity = 'payload' | 'property' | 'none'

export interface TrackedStream {
  device: number
  stream: number
  /** The envelope travels as a user property. */
  inProperty: boolean
}

export class Layout {
  readonly groups: GroupLayout[] = []
  readonly deviceCount: number
  readonly slotCount: number
  readonly #startNumber: number
  readonly #scenario: Scenario
  readonly #indexes = new Map<string, TopicIndex<TrackedStream>>()

  /** `startNumber` shifts the devices' indices, for a swarm over several processes. */
  constructor(scenario: Scenario, startNumber: number) {
    this.#scenario = scenario
    this.#startNumber = startNumber
    let firstDevice = 0
    let firstSlot = 0
    for (const [name, spec] of Object.entries(scenario.groups)) {
      const slotsPerDevice = spec.publications.length * 3
      if (slotsPerDevice > streamsPerDeviceMax) throw new Error(`group ${name} has too many publications`)
      this.groups.push({ name, spec, firstDevice, firstSlot, slotsPerDevice })
      firstDevice += spec.count
      firstSlot += spec.count * slotsPerDevice
    }
    if (firstDevice > devicesMax) throw new Error(`${firstDevice} devices: at most ${devicesMax} have a number`)
    this.deviceCount = firstDevice
    this.slotCount = firstSlot
  }

  groupOf(device: number): GroupLayout | undefined {
    return this.groups.findLast((group) => group.firstDevice <= device && device < group.firstDevice + group.spec.count)
  }

  variablesOf(group: GroupLayout, index: number): Variables {
    const shown = String(index + this.#startNumber)
    const own: Record<string, string> = { group: group.name, index: shown }
    for (const [name, value] of Object.entries(group.spec.variables)) {
      own[name] = fillTemplate(typeof value === 'string' ? value : value[index % value.length]!, own)
    }
    own['username'] = fillTemplate(group.spec.credentials?.username ?? '', own)
    own['clientId'] = fillTemplate(group.spec.clientId, own)
    return own
  }

  protocolOf(group: GroupLayout, index: number): Protocol {
    const { protocol } = group.spec
    return typeof protocol === 'string' ? protocol : protocol[index % protocol.length]!
  }

  brokerOf(group: GroupLayout): string {
    return group.spec.broker ?? Object.keys(this.#scenario.brokers ?? {})[0] ?? 'default'
  }

  identityOf(group: GroupLayout, index: number, publication: PublicationSpec): Identity {
    const canUseProperty = this.protocolOf(group, index) === '5.0'
    const wanted = publication.identity
    if (wanted === 'none' || (wanted === 'property' && !canUseProperty)) return 'none'
    if (wanted !== 'property' && canCarryEnvelope(publication.payload)) return 'payload'
    return canUseProperty ? 'property' : 'none'
  }

  topicOf(group: GroupLayout, publication: PublicationSpec, variables: Variables): string {
    if (publication.topic !== undefined) return fillTemplate(publication.topic, variables)
    const { sparkplug } = group.spec
    if (sparkplug === undefined) return ''
    const node = fillTemplate(sparkplug.node, variables)
    const device = sparkplug.device === undefined ? undefined : fillTemplate(sparkplug.device, variables)
    const base = `spBv1.0/${fillTemplate(sparkplug.group, variables)}`
    return device === undefined ? `${base}/NDATA/${node}` : `${base}/DDATA/${node}/${device}`
  }

  slotOf(group: GroupLayout, device: number, stream: number): number {
    return group.firstSlot + (device - group.firstDevice) * group.slotsPerDevice + stream
  }

  /** The topic that a stream should come on; undefined for a device or publication that does not exist. */
  expectedTopic(device: number, stream: number): string | undefined {
    const group = this.groupOf(device)
    const publication = group?.spec.publications[Math.floor(stream / 3)]
    if (group === undefined || publication === undefined) return undefined
    return this.topicOf(group, publication, this.variablesOf(group, device - group.firstDevice))
  }

  /** The tracked streams sent through one broker, by topic; made at first use. */
  topicsAt(broker: string): TopicIndex<TrackedStream> {
    let index = this.#indexes.get(broker)
    if (index === undefined) {
      index = new TopicIndex([...this.#trackedStreams(broker)])
      this.#indexes.set(broker, index)
    }
    return index
  }

  *#trackedStreams(broker: string): Generator<{ topic: string; value: TrackedStream }> {
    for (const group of this.groups) {
      if (this.brokerOf(group) !== broker) continue
      for (let i = 0; i < group.spec.count; i++) {
        const variables = this.variablesOf(group, i)
        for (const [p, publication] of group.spec.publications.entries()) {
          const identity = this.identityOf(group, i, publication)
          if (identity === 'none') continue
          const topic = this.topicOf(group, publication, variables)
          const inProperty = identity === 'property'
          const device = group.firstDevice + i
          for (const qos of qosOf(publication)) yield { topic, value: { device, stream: p * 3 + qos, inProperty } }
        }
      }
    }
  }
}

export function qosOf({ qos }: PublicationSpec): (0 | 1 | 2)[] {
  if (typeof qos === 'number') return [qos]
  return ([0, 1, 2] as const).filter((level) => qos[level] !== undefined)
}

/** Threads for a lean swarm: the broker under test usually shares the machine. */
export function defaultWorkers(): number {
  return Math.max(1, Math.min(4, Math.ceil(availableParallelism() / 2)))
}
