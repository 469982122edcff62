/**
 * What a device says about itself when it comes and goes: will and birth message, Home Assistant's discovery, and
 * Sparkplug B's birth and death certificates with the rebirth command.
 */
import type { IncomingMessage, OutgoingMessage, WillSpec } from './client/client.ts'
import type { Device } from './device.ts'
import { encodeSparkplug, metricsOf, type SparkplugMetric } from './payload/sparkplug.ts'
import { fillTemplate } from './template.ts'

type Send = (message: OutgoingMessage) => void

export class BirthCertificates {
  readonly #device: Device
  #send: Send | undefined

  constructor(device: Device) {
    this.#device = device
  }

  will(): WillSpec | undefined {
    const { spec } = this.#device.group
    const { variables } = this.#device
    if (spec.will !== undefined) {
      const { topic, payload, qos, retain, delay } = spec.will
      return {
        topic: fillTemplate(topic, variables),
        payload: Buffer.from(fillTemplate(payload, variables)),
        qos,
        retain,
        delaySeconds: Math.round((delay ?? 0) / 1000),
      }
    }
    if (spec.sparkplug === undefined) return undefined
    // The bdSeq of a session and its death must agree; the client keeps one will, so it is 0 for every session.
    const payload = encodeSparkplug([{ name: 'bdSeq', value: 0 }], 0, undefined)
    return { topic: this.#sparkplugTopic('NDEATH', false), payload, qos: 1, retain: false, delaySeconds: 0 }
  }

  announce(send: Send): void {
    this.#send = send
    const { spec } = this.#device.group
    const { variables } = this.#device
    if (spec.sparkplug !== undefined) this.#sendSparkplugBirths(send)
    if (spec.homeAssistant !== undefined) this.#sendDiscovery(send)
    if (spec.birth !== undefined) {
      const { topic, payload, qos, retain } = spec.birth
      send({
        topic: fillTemplate(topic, variables),
        payload: Buffer.from(fillTemplate(payload, variables)),
        qos,
        retain,
      })
    }
  }

  /** Sparkplug's "Node Control/Rebirth" in an NCMD; whether the message was one. */
  onMessage({ topic, payload }: IncomingMessage): boolean {
    if (this.#device.group.spec.sparkplug === undefined || topic !== this.#sparkplugTopic('NCMD', false)) return false
    if (Buffer.from(payload).includes('Node Control/Rebirth') && this.#send !== undefined) {
      this.#sendSparkplugBirths(this.#send)
    }
    return true
  }

  #sparkplugTopic(type: string, ofDevice: boolean): string {
    const { variables, group } = this.#device
    const spec = group.spec.sparkplug!
    const base = `spBv1.0/${fillTemplate(spec.group, variables)}/${type}/${fillTemplate(spec.node, variables)}`
    return ofDevice && spec.device !== undefined ? `${base}/${fillTemplate(spec.device, variables)}` : base
  }

  #sendSparkplugBirths(send: Send): void {
    const device = this.#device
    const { sparkplug } = device.group.spec
    device.resetSparkplugSequence()
    const metrics: SparkplugMetric[] = []
    let clockMs = device.clockMs(0)
    for (const publication of device.publications) {
      if (publication.spec.payload.encoding !== 'sparkplug') continue
      clockMs = publication.moment().clockMs
      metrics.push(...metricsOf(publication.values()))
    }
    const own = [
      { name: 'bdSeq', value: 0 },
      { name: 'Node Control/Rebirth', value: false },
    ]
    const nodeMetrics = sparkplug?.device === undefined ? [...own, ...metrics] : own
    const birth = (type: string, ofDevice: boolean, content: readonly SparkplugMetric[]): void => {
      const payload = encodeSparkplug(content, clockMs, device.nextSparkplugSequence())
      send({ topic: this.#sparkplugTopic(type, ofDevice), payload, qos: 0, retain: false })
    }
    birth('NBIRTH', false, nodeMetrics)
    if (sparkplug?.device !== undefined) birth('DBIRTH', true, metrics)
  }

  /** One retained configuration per entity; https://www.home-assistant.io/integrations/mqtt/ describes its keys. */
  #sendDiscovery(send: Send): void {
    const { group, variables, clientId, publications } = this.#device
    const { prefix, device, entities } = group.spec.homeAssistant!
    const will = group.spec.will
    for (const entity of entities) {
      const stateTopic = publications[entity.publication]?.topic
      const objectId = `${clientId}-${entity.field}`.replace(/[^\w-]/g, '_')
      const config = {
        name: entity.name,
        unique_id: objectId,
        state_topic: stateTopic,
        value_template: `{{ value_json.${entity.field} }}`,
        unit_of_measurement: entity.unit,
        device_class: entity.deviceClass,
        state_class: entity.stateClass,
        command_topic: entity.commandTopic === undefined ? undefined : fillTemplate(entity.commandTopic, variables),
        availability_topic: will === undefined ? undefined : fillTemplate(will.topic, variables),
        payload_not_available: will === undefined ? undefined : fillTemplate(will.payload, variables),
        payload_available:
          group.spec.birth === undefined ? undefined : fillTemplate(group.spec.birth.payload, variables),
        device: {
          identifiers: [clientId],
          name: fillTemplate(device.name, variables),
          model: device.model,
          manufacturer: device.manufacturer,
        },
      }
      send({
        topic: `${prefix}/${entity.component}/${objectId}/config`,
        payload: Buffer.from(JSON.stringify(config)),
        qos: 1,
        retain: true,
      })
    }
  }
}
