/*
 * MQTT 3.1.1 where a client may not do everything: sections 3.3.5, 3.8.4 and 3.9.3 under a grant.
 */

import type { AuthenticationResult, Grant } from '../../../src/gateway.ts'
import { connect, disconnect, puback, publish, suback, subscribe } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { subscribed } from './expect.ts'

/** What a guest may do; whoever has another user name, or none, may do everything. */
const guestGrant: Grant = {
  mayPublish: (topic) => !topic.endsWith('/closed'),
  maySubscribe: (filter) => !filter.endsWith('/closed'),
  mayReceive: (topic) => !topic.endsWith('/closed'),
}

const authenticator = {
  authenticate: ({ username }: { username: string | undefined }): AuthenticationResult =>
    username === 'guest' ? { reasonCode: 0, grant: guestGrant } : { reasonCode: 0 },
}

withGateway({ authenticator, protocol: { closeOnRefusedPublish: true } }, () => {
  conformance(
    '3.1.1',
    ['MQTT-3.3.5-2'],
    'a PUBLISH that is not authorized closes where that is configured, and reaches nobody',
    async (wire) => {
      const topic = wire.topic('closed')
      const other = await subscribed(wire, topic, 0)
      for (const qos of [0, 1, 2]) {
        const guest = await wire.connected({ username: 'guest' })
        guest.send(publish({ topic, payload: 'x', qos, retain: true, ...(qos > 0 && { id: 1 }) }))
        await guest.expectClosed()
      }
      await other.expectNothing()
    },
  )
})

withGateway({ authenticator }, () => {
  conformance(
    '3.1.1',
    ['MQTT-3.3.5-2'],
    'a PUBLISH that is not authorized is acknowledged and reaches nobody, now or later',
    async (wire) => {
      const topic = wire.topic('closed')
      const other = await subscribed(wire, topic, 0)
      for (const qos of [0, 1, 2]) {
        const guest = await wire.connected({ username: 'guest' })
        guest.send(publish({ topic, payload: 'x', qos, retain: true, ...(qos > 0 && { id: 1 }) }))
        if (qos > 0) await guest.expectPacket(qos === 1 ? puback(1) : '50 02 00 01')
        await guest.expectNothing()
      }
      await other.expectNothing()
      const later = await subscribed(wire, topic, 0)
      await later.expectNothing()
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-3.3.5-2', 'MQTT-3.3.4-1'],
    'a PUBLISH that is authorized is acknowledged beside it',
    async (wire) => {
      const guest = await wire.connected({ username: 'guest' })
      guest.send(publish({ topic: wire.topic('open'), payload: 'x', qos: 1, id: 1 }))
      await guest.expectPacket(puback(1))
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-3.8.4-5', 'MQTT-3.9.3-2'],
    'a filter that is not authorized has the return code 0x80',
    async (wire) => {
      const guest = await wire.connected({ username: 'guest' })
      guest.send(
        subscribe(1, [
          [wire.topic('open'), 1],
          [wire.topic('closed'), 2],
          [`$share/g/${wire.topic('closed')}`, 0],
        ]),
      )
      await guest.expectPacket('90 05 00 01 01 80 80')
      const other = await wire.connected()
      other.send(
        publish({ topic: wire.topic('closed'), payload: 'x' }),
        publish({ topic: wire.topic('open'), payload: 'y' }),
      )
      await other.settled()
      await guest.expectPacket(publish({ topic: wire.topic('open'), payload: 'y' }))
      await guest.expectNothing()
    },
  )

  conformance(
    '3.1.1',
    [],
    'a message that a client may not receive does not come through a wildcard, retained or not',
    async (wire) => {
      const root = wire.topic()
      const other = await wire.connected()
      other.send(publish({ topic: `${root}/closed`, payload: 'kept', retain: true }))
      await other.settled()
      const guest = await wire.connected({ username: 'guest' })
      guest.send(subscribe(1, [[`${root}/#`, 0]]))
      await guest.expectPacket(suback(1, 0))
      other.send(publish({ topic: `${root}/closed`, payload: 'x' }), publish({ topic: `${root}/open`, payload: 'y' }))
      await guest.expectPacket(publish({ topic: `${root}/open`, payload: 'y' }))
      await guest.expectNothing()
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-3.2.2-4', 'MQTT-3.2.2-5', 'MQTT-3.3.5-2'],
    'a will that may not be published refuses the CONNECT',
    async (wire) => {
      const topic = wire.topic('closed')
      const other = await subscribed(wire, topic, 0)
      const guest = await wire.open()
      guest.send(connect({ clientId: wire.id(), username: 'guest', will: { topic, payload: 'x' } }))
      await guest.expectPacket('20 02 00 05')
      await guest.expectClosed()
      await other.expectNothing()
    },
  )

  conformance('3.1.1', ['MQTT-3.3.5-2', 'MQTT-4.7.2-1'], 'no client may publish below $SYS', async (wire) => {
    const other = await subscribed(wire, '$SYS/broker/forged', 0)
    const client = await wire.connected()
    client.send(publish({ topic: '$SYS/broker/forged', payload: 'x', retain: true }))
    await client.expectNothing()
    await other.expectNothing()
    other.send(disconnect)
    await other.expectClosed()
  })
})
