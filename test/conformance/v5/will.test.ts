/*
 * MQTT 5.0 sections 3.1.2.5 Will Flag, 3.1.3.2 Will Properties and 3.1.3.2.2 Will Delay Interval.
 */

import { expect } from 'vitest'
import { concat, hex } from '../bytes.ts'
import { conformance } from '../harness.ts'
import {
  connected5,
  expectDisconnected,
  expectNothingArrives,
  expectPublish,
  leave,
  next,
  subscribed,
} from './expect.ts'
import { disconnect, property, publish, subscribe } from './packets.ts'

const retainAsPublished = 0x08

conformance(
  '5.0',
  ['MQTT-3.1.2-7', 'MQTT-3.1.2-8'],
  'the will is published when the connection breaks',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const dying = await connected5(wire, { clientId: wire.id('d'), will: { topic: wire.topic(), payload: 'gone' } })
    dying.destroy()
    await expectPublish(watcher, { topic: wire.topic(), payload: 'gone' })
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-8'],
  'the will is published when the client closes without DISCONNECT',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const dying = await connected5(wire, { clientId: wire.id('d'), will: { topic: wire.topic(), payload: 'closed' } })
    dying.end()
    await expectPublish(watcher, { topic: wire.topic(), payload: 'closed' })
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-8'],
  'the will is published when the server closes on a protocol error',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const faulty = await connected5(wire, { clientId: wire.id('d'), will: { topic: wire.topic(), payload: 'faulty' } })
    faulty.send(subscribe(1, []))
    await expectDisconnected(faulty, 0x82)
    await expectPublish(watcher, { topic: wire.topic(), payload: 'faulty' })
  },
)

conformance('5.0', ['MQTT-3.1.2-10', 'MQTT-3.14.4-3'], 'DISCONNECT with 0x00 discards the will', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  for (const bytes of [disconnect(0), hex('e0 00'), hex('e0 01 00')]) {
    const leaving = await connected5(wire, {
      clientId: wire.id('d'),
      will: { topic: wire.topic(), payload: 'must not come' },
    })
    leaving.send(bytes)
    await leaving.expectClosed()
  }
  await expectNothingArrives(watcher, wire.topic())
})

conformance('5.0', ['MQTT-3.1.2-8'], 'DISCONNECT with another reason publishes the will', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  for (const reason of [0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]) {
    const leaving = await connected5(wire, {
      clientId: wire.id('d'),
      will: { topic: wire.topic(), payload: `${reason}` },
    })
    leaving.send(disconnect(reason))
    await leaving.expectClosed()
    await expectPublish(watcher, { topic: wire.topic(), payload: `${reason}` })
  }
})

conformance('5.0', ['MQTT-3.1.2-10'], 'a published will does not come again', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const fields = { clientId: wire.id('d'), properties: property.sessionExpiryInterval(60) }
  const dying = await connected5(wire, { ...fields, will: { topic: wire.topic(), payload: 'once' } })
  dying.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'once' })
  const back = await connected5(wire, { ...fields, clean: false, properties: property.sessionExpiryInterval(0) }, true)
  back.destroy()
  await expectNothingArrives(watcher, wire.topic())
})

conformance('5.0', ['MQTT-3.1.2-14'], 'a will without retain is not stored', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic(), retainAsPublished)
  const dying = await connected5(wire, {
    clientId: wire.id('d'),
    will: { topic: wire.topic(), payload: 'live', retain: false },
  })
  dying.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'live', retain: false })
  const late = await connected5(wire)
  await subscribed(late, wire.topic())
  await late.expectNothing()
})

conformance('5.0', ['MQTT-3.1.2-15'], 'a will with retain is stored as a retained message', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic(), retainAsPublished)
  const dying = await connected5(wire, {
    clientId: wire.id('d'),
    will: { topic: wire.topic(), payload: 'offline', retain: true },
  })
  dying.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'offline', retain: true })
  const late = await connected5(wire)
  await subscribed(late, wire.topic())
  await expectPublish(late, { topic: wire.topic(), payload: 'offline', retain: true })
  late.send(publish({ topic: wire.topic(), retain: true }))
})

conformance(
  '5.0',
  ['MQTT-3.1.3-10'],
  'a will is published with its properties, user properties in order, without its delay',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const p = property
    const properties = concat(
      p.userProperty('z', '1'),
      p.willDelayInterval(0),
      p.payloadFormatIndicator(1),
      p.contentType('text/plain'),
      p.userProperty('a', '2'),
      p.responseTopic('answer/here'),
      p.correlationData(hex('00 ff')),
      p.userProperty('z', '0'),
    )
    const dying = await connected5(wire, {
      clientId: wire.id('d'),
      will: { topic: wire.topic(), payload: 'w', properties },
    })
    dying.destroy()
    const decoded = await next(watcher)
    expect(decoded).toMatchObject({ type: 'publish', topic: wire.topic(), payload: 'w' })
    const userProperties = decoded.properties.filter(([identifier]) => identifier === 38)
    expect(userProperties).toEqual([
      [38, ['z', '1']],
      [38, ['a', '2']],
      [38, ['z', '0']],
    ])
    const others = decoded.properties.filter(([identifier]) => identifier !== 38).toSorted((a, b) => a[0] - b[0])
    expect(others).toEqual([
      [1, 1],
      [3, 'text/plain'],
      [8, 'answer/here'],
      [9, hex('00 ff')],
    ])
  },
)

conformance('5.0', ['MQTT-3.1.3-10'], 'the message expiry of a will is sent on', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const properties = property.messageExpiryInterval(1000)
  const dying = await connected5(wire, {
    clientId: wire.id('d'),
    will: { topic: wire.topic(), payload: 'w', properties },
  })
  dying.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'w', properties: [[2, 1000]] })
})

conformance('5.0', ['MQTT-3.1.2-8', 'MQTT-3.1.3-9'], 'a connection in time stops a delayed will', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const fields = { clientId: wire.id('d'), properties: property.sessionExpiryInterval(60) }
  const will = { topic: wire.topic(), payload: 'too early', properties: property.willDelayInterval(1) }
  const dying = await connected5(wire, { ...fields, will })
  dying.destroy()
  const back = await connected5(wire, { ...fields, clean: false }, true)
  // A later will with the same delay passes the moment at which the first was due.
  const clock = await connected5(wire, {
    clientId: wire.id('c'),
    properties: property.sessionExpiryInterval(60),
    will: { ...will, payload: 'clock' },
  })
  clock.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'clock' })
  await leave(back, property.sessionExpiryInterval(0))
  await expectNothingArrives(watcher, wire.topic())
})

conformance('5.0', ['MQTT-3.1.2-8'], 'a will is published after its delay, not before', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const properties = property.sessionExpiryInterval(60)
  const will = { topic: wire.topic(), payload: 'delayed', properties: property.willDelayInterval(1) }
  const delayed = await connected5(wire, { clientId: wire.id('d'), properties, will })
  delayed.destroy()
  const prompt = await connected5(wire, { clientId: wire.id('p'), will: { topic: wire.topic(), payload: 'prompt' } })
  prompt.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'prompt' })
  await expectPublish(watcher, { topic: wire.topic(), payload: 'delayed' })
})

conformance('5.0', ['MQTT-3.1.2-8'], 'the end of the session ends the delay: expiry', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const will = { topic: wire.topic(), payload: 'expired', properties: property.willDelayInterval(3600) }
  const dying = await connected5(wire, { clientId: wire.id('d'), properties: property.sessionExpiryInterval(1), will })
  dying.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'expired' })
})

conformance('5.0', ['MQTT-3.1.2-8'], 'the end of the session ends the delay: Clean Start', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const properties = property.sessionExpiryInterval(60)
  const will = { topic: wire.topic(), payload: 'cleaned', properties: property.willDelayInterval(3600) }
  const dying = await connected5(wire, { clientId: wire.id('d'), properties, will })
  dying.send(disconnect(0x04))
  await dying.expectClosed()
  await connected5(wire, { clientId: wire.id('d'), clean: true })
  await expectPublish(watcher, { topic: wire.topic(), payload: 'cleaned' })
})

conformance('5.0', ['MQTT-3.1.2-8'], 'without session expiry a delayed will is published at once', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const will = { topic: wire.topic(), payload: 'at once', properties: property.willDelayInterval(3600) }
  const dying = await connected5(wire, { clientId: wire.id('d'), will })
  dying.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'at once' })
})

conformance('5.0', ['MQTT-3.1.2-8'], 'a take-over with Clean Start 1 publishes the will of the loser', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const loser = await connected5(wire, { clientId: wire.id('d'), will: { topic: wire.topic(), payload: 'lost' } })
  await connected5(wire, { clientId: wire.id('d') })
  await expectDisconnected(loser, 0x8e)
  await expectPublish(watcher, { topic: wire.topic(), payload: 'lost' })
})

conformance(
  '5.0',
  ['MQTT-3.1.2-8', 'MQTT-3.1.3-9'],
  'a take-over publishes a will without delay, and drops one with a delay',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const fields = { clientId: wire.id('d'), properties: property.sessionExpiryInterval(60) }
    const prompt = await connected5(wire, { ...fields, will: { topic: wire.topic(), payload: 'prompt' } })
    const delay = property.willDelayInterval(1)
    const delayed = await connected5(
      wire,
      { ...fields, clean: false, will: { topic: wire.topic(), payload: 'delayed', properties: delay } },
      true,
    )
    await expectDisconnected(prompt, 0x8e)
    await expectPublish(watcher, { topic: wire.topic(), payload: 'prompt' })
    const last = await connected5(wire, { ...fields, clean: false }, true)
    await expectDisconnected(delayed, 0x8e)
    await leave(last, property.sessionExpiryInterval(0))
    await expectNothingArrives(watcher, wire.topic())
  },
)

conformance('5.0', [], 'a will reaches every QoS of subscription and a session that is offline', async (wire) => {
  const properties = property.sessionExpiryInterval(60)
  const sleeper = await connected5(wire, { clientId: wire.id('s'), properties })
  await subscribed(sleeper, wire.topic(), 1)
  await leave(sleeper)
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic(), 0)
  const dying = await connected5(wire, {
    clientId: wire.id('d'),
    will: { topic: wire.topic(), payload: 'all', qos: 2 },
  })
  dying.destroy()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'all', qos: 0 })
  const back = await connected5(wire, { clientId: wire.id('s'), clean: false }, true)
  await expectPublish(back, { topic: wire.topic(), payload: 'all', qos: 1 })
})
