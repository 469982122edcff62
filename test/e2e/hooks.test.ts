/** Hooks of the program that a gateway is part of, with real clients. */
import { expect, onTestFinished, test } from 'vitest'
import type { ConnectedClient, DeliveredMessage, DroppedMessages, EndedSession } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { connectRaw } from './raw-client.ts'

const text = (payload: Uint8Array) => Buffer.from(payload).toString()

test('onConnect is told who was let in, and onSessionEnd whose session ended and why', async () => {
  const connected: ConnectedClient[] = []
  const ended: EndedSession[] = []
  const gateway = await startGateway({
    onConnect: (client) => connected.push(client),
    onSessionEnd: (session) => ended.push(session),
  })
  const properties = { sessionExpiryInterval: 3600, userProperties: { site: 'north' } }
  const stays = { clientId: 'stays', protocolVersion: 5, clean: false, username: 'ann', properties } as const
  const first = await connectClient(gateway, stays)
  await first.mqtt.endAsync()
  const again = await connectClient(gateway, stays)
  const goes = await connectClient(gateway, { clientId: 'goes' })
  await goes.mqtt.endAsync()
  await eventually(() => ended.map(({ clientId, because }) => [clientId, because])).toEqual([['goes', 'disconnected']])
  expect(connected.map(({ clientId, sessionPresent }) => [clientId, sessionPresent])).toEqual([
    ['stays', false],
    ['stays', true],
    ['goes', false],
  ])
  expect(connected[0]).toMatchObject({ username: 'ann', protocolVersion: 5, listener: 'tcp-0', namespace: 'default' })
  expect(connected[0]!.properties.userProperties).toEqual([['site', 'north']])
  expect(connected[0]!.address).toMatch(/^127\.0\.0\.1:\d+$/)
  await again.mqtt.endAsync()
  await connectClient(gateway, { ...stays, clean: true })
  await eventually(() => ended.map(({ clientId, because }) => [clientId, because])).toContainEqual([
    'stays',
    'replaced',
  ])
})

test('onPublish lets a message go on, changes it, or refuses it with a reason code', async () => {
  const gateway = await startGateway({
    onPublish({ topic, payload, properties }, { clientId }) {
      if (topic === 'plain') return undefined
      if (topic === 'wrong') return { reasonCode: 0x99 }
      const userProperties = [...(properties.userProperties ?? []), ['from', clientId] as const]
      return { topic: `checked/${topic}`, payload: text(payload).toUpperCase(), properties: { userProperties }, qos: 1 }
    },
  })
  const reader = await connectClient(gateway, { protocolVersion: 5 })
  await reader.mqtt.subscribeAsync('#', { qos: 2 })
  const writer = await connectClient(gateway, { clientId: 'writer', protocolVersion: 5 })
  await writer.mqtt.publishAsync('plain', 'as it is', { qos: 1 })
  await expect(writer.mqtt.publishAsync('wrong', 'x', { qos: 1 })).rejects.toThrow()
  await expect(writer.mqtt.publishAsync('wrong', 'x', { qos: 2 })).rejects.toThrow()
  await writer.mqtt.publishAsync('room', 'warm', { qos: 2, properties: { userProperties: { unit: 'C' } } })
  await reader.until(2)
  expect(reader.received.map(({ topic, payload, qos }) => [topic, payload.toString(), qos])).toEqual([
    ['plain', 'as it is', 1],
    ['checked/room', 'WARM', 1],
  ])
  expect(reader.received[1]!.properties?.userProperties).toEqual({ unit: 'C', from: 'writer' })
  const metrics = gateway.metrics()
  expect(metrics['mqtt_publishes_refused_total{reason="payload_format_invalid"}']).toBe(2)
  expect(metrics['mqtt_messages_dropped_total{reason="hook_refused"}']).toBe(2)
})

test('a verdict on a message of a queue is no message: it is not asked about, and counts', async () => {
  const asked: string[] = []
  const gateway = await startGateway({
    queues: { jobs: {} },
    onPublish({ topic }) {
      asked.push(topic)
      return { properties: { userProperties: [['seen', 'yes']] } }
    },
  })
  // It does not acknowledge by itself.
  const worker = await connectRaw(gateway, 'TCP', 5)
  const own = { clientId: 'worker', clean: true, keepalive: 0 } as const
  worker.sendPacket({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, ...own })
  const subscriptions = [{ topic: '$queue/jobs', qos: 1 as const }]
  worker.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions })
  const writer = await connectClient(gateway, { protocolVersion: 5 })
  await writer.mqtt.publishAsync('$queue/jobs', 'one', { qos: 1 })
  await worker.until(() => worker.packets.some(({ cmd }) => cmd === 'publish'))
  const verdict = { topic: '$queue/jobs/$ack', payload: '', qos: 1, messageId: 7, retain: false, dup: false } as const
  worker.sendPacket({ cmd: 'publish', ...verdict })
  await worker.until(() => worker.packets.some(({ cmd }) => cmd === 'puback'))
  expect(worker.packets.find(({ cmd }) => cmd === 'puback')).toMatchObject({ messageId: 7, reasonCode: 0 })
  await expect(writer.mqtt.publishAsync('$queue/none', 'x', { qos: 1 })).rejects.toThrow('Topic Name invalid')
  expect(asked).toEqual(['$queue/jobs'])
  const settled = Object.entries(gateway.metrics()).filter(([name]) => name.startsWith('mqtt_queue_settled_total'))
  expect(settled.map(([, count]) => count)).toContain(1)
})

test('a message sent again at QoS 2 is asked about once', async () => {
  const asked: string[] = []
  const gateway = await startGateway({
    onPublish({ topic }) {
      asked.push(topic)
      return undefined
    },
  })
  const raw = await connectRaw(gateway, 'TCP')
  raw.sendPacket({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    clientId: 'twice',
    keepalive: 0,
  })
  const publish = { cmd: 'publish', topic: 'once', payload: 'x', qos: 2, messageId: 7, retain: false } as const
  raw.sendPacket({ ...publish, dup: false })
  raw.sendPacket({ ...publish, dup: true })
  await raw.until(() => raw.packets.filter(({ cmd }) => cmd === 'pubrec').length === 2)
  expect(asked).toEqual(['once'])
})

test('a will is asked about as well, and goes nowhere where it is refused', async () => {
  const wills: string[] = []
  const gateway = await startGateway({
    onPublish({ topic, isWill }) {
      if (!isWill) return undefined
      wills.push(topic)
      return topic === 'gone/secret' ? { reasonCode: 0x87 } : { payload: 'seen' }
    },
  })
  const reader = await connectClient(gateway)
  await reader.mqtt.subscribeAsync('gone/#')
  for (const topic of ['gone/secret', 'gone/open']) {
    const raw = await connectRaw(gateway, 'TCP')
    const will = { topic, payload: Buffer.from('bye'), qos: 0, retain: false } as const
    const own = { clientId: topic, clean: true, keepalive: 0, will }
    raw.sendPacket({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, ...own })
    await raw.until(() => raw.packets.length === 1)
    raw.destroy()
    await eventually(() => wills).toContain(topic)
  }
  await reader.until(1)
  expect(reader.received.map(({ topic, payload }) => [topic, payload.toString()])).toEqual([['gone/open', 'seen']])
})

test('a hook may publish from within, also from the ones that are only told', async () => {
  const gateway = await startGateway({
    onPublish({ topic }) {
      if (topic.startsWith('in/')) void gateway.publish({ topic: 'log/published', payload: topic })
      return undefined
    },
    onDeliver({ topic }) {
      if (topic.startsWith('in/')) void gateway.publish({ topic: 'log/delivered', payload: topic })
    },
  })
  const reader = await connectClient(gateway)
  await reader.mqtt.subscribeAsync('#')
  const writer = await connectClient(gateway)
  writer.mqtt.publish('in/a', 'x')
  await reader.until(3)
  expect(reader.received.map(({ topic }) => topic)).toEqual(['log/published', 'in/a', 'log/delivered'])
})

test('onDeliver sees what each client is sent, whatever it speaks', async () => {
  const delivered: [string, string, string, number, boolean][] = []
  const seen: DeliveredMessage[] = []
  const gateway = await startGateway({
    onDeliver(message, { clientId }) {
      seen.push(message)
      delivered.push([clientId, message.topic, text(message.payload), message.qos, message.retain])
    },
  })
  await gateway.publish({ topic: 'a/kept', payload: 'old', qos: 1, retain: true })
  const three = await connectClient(gateway, { clientId: 'three' })
  await three.mqtt.subscribeAsync('a/#', { qos: 0 })
  await three.until(1)
  const five = await connectClient(gateway, {
    ...{ clientId: 'five', protocolVersion: 5 },
    properties: { topicAliasMaximum: 5 },
  })
  await five.mqtt.subscribeAsync('a/new', { qos: 1 })
  const browser = new WebSocket(`ws://127.0.0.1:${gateway.addresses.http!.port}/ws`, 'mqtide.v1.json')
  const answers: string[] = []
  browser.addEventListener('message', ({ data }) => answers.push(String(data)))
  await new Promise((resolve) => browser.addEventListener('open', resolve))
  browser.send(JSON.stringify({ op: 'connect', id: 1, clientId: 'page' }))
  browser.send(JSON.stringify({ op: 'subscribe', id: 2, filters: [{ filter: 'a/new', qos: 0 }] }))
  await eventually(() => answers.length).toBe(2)
  const properties = { contentType: 'text/plain' }
  for (const payload of ['1', '2']) await gateway.publish({ topic: 'a/new', payload, qos: 1, properties })
  await eventually(() => delivered.length).toBe(7)
  browser.close()
  expect(delivered[0]).toEqual(['three', 'a/kept', 'old', 0, true])
  for (const payload of ['1', '2']) {
    expect(delivered).toContainEqual(['three', 'a/new', payload, 0, false])
    expect(delivered).toContainEqual(['five', 'a/new', payload, 1, false])
    expect(delivered).toContainEqual(['page', 'a/new', payload, 0, false])
  }
  expect(seen.filter(({ properties: { contentType } }) => contentType === 'text/plain')).toHaveLength(4)
})

test('onDeliver sees messages of server-sent events', async () => {
  const delivered: string[] = []
  const gateway = await startGateway({
    onDeliver: ({ topic, payload }, { listener }) => delivered.push(`${topic} ${text(payload)} ${listener}`),
  })
  const controller = new AbortController()
  onTestFinished(() => controller.abort())
  const url = `http://127.0.0.1:${gateway.addresses.http!.port}/api/v1/stream?topic=a`
  expect((await fetch(url, { signal: controller.signal })).status).toBe(200)
  await gateway.publish({ topic: 'a', payload: 'x\ny' })
  await eventually(() => delivered).toEqual(['a x\ny http-0'])
})

test('onDropped tells who does not get what, and why', async () => {
  const dropped: DroppedMessages[] = []
  const gateway = await startGateway({
    onDropped: (one) => dropped.push(one),
    limits: { sessionQueueMessagesMax: 1 },
    sessionQueueFull: 'drop-oldest',
  })
  const away = { clientId: 'away', clean: false } as const
  const client = await connectClient(gateway, away)
  await client.mqtt.subscribeAsync('jobs', { qos: 1 })
  await client.mqtt.endAsync()
  for (const payload of ['1', '2', '3']) await gateway.publish({ topic: 'jobs', payload, qos: 1 })
  await eventually(() => dropped.reduce((sum, { count }) => sum + count, 0)).toBe(2)
  expect(dropped[0]).toMatchObject({ clientId: 'away', namespace: 'default', topic: 'jobs', reason: 'queue_full' })
})

test('a hook that throws costs nobody anything but the message that it was asked about', async () => {
  const gateway = await startGateway({
    onConnect() {
      throw new Error('no')
    },
    // @ts-expect-error: it has to answer at once
    onPublish({ topic }) {
      if (topic === 'bad') throw new Error('no')
      if (topic === 'late') return Promise.resolve({})
      return topic === 'nowhere' ? { topic: 'a/+' } : undefined
    },
    async onDeliver() {
      throw new Error('no')
    },
  })
  const reader = await connectClient(gateway)
  await reader.mqtt.subscribeAsync('#')
  const writer = await connectClient(gateway, { protocolVersion: 5 })
  for (const topic of ['bad', 'late', 'nowhere'])
    await expect(writer.mqtt.publishAsync(topic, '', { qos: 1 })).rejects.toThrow()
  await writer.mqtt.publishAsync('good', '', { qos: 1 })
  await reader.until(1)
  expect(reader.received.map(({ topic }) => topic)).toEqual(['good'])
  await eventually(() => gateway.metrics()['mqtide_hook_errors_total{hook="onDeliver"}']).toBe(1)
  expect(gateway.metrics()['mqtide_hook_errors_total{hook="onPublish"}']).toBe(3)
  expect(gateway.metrics()['mqtide_hook_errors_total{hook="onConnect"}']).toBe(2)
})

test('onPublish may disconnect the publisher, whose message then goes nowhere', async () => {
  const gateway = await startGateway({
    onPublish(_message, { clientId }) {
      gateway.disconnectClient(clientId)
      return undefined
    },
  })
  const reader = await connectClient(gateway)
  await reader.mqtt.subscribeAsync('#')
  const writer = await connectClient(gateway, { protocolVersion: 5, clientId: 'out' })
  const closed = new Promise((resolve) => writer.mqtt.once('close', () => resolve(true)))
  writer.mqtt.publish('a', 'x')
  expect(await closed).toBe(true)
  await gateway.publish({ topic: 'after' })
  await reader.until(1)
  expect(reader.received.map(({ topic }) => topic)).toEqual(['after'])
})

test('a hook that is no function is a fault of the configuration', async () => {
  // @ts-expect-error: no function
  await expect(startGateway({ onPublish: 'yes' })).rejects.toThrow('onPublish: expected a function')
})
