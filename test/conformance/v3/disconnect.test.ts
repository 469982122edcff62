/*
 * MQTT 3.1.1 section 3.14: DISCONNECT. What it does to a will is tested with wills.
 */

import { connect, disconnect, pingreq, publish, subscribe } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { closesConnection, subscribed } from './expect.ts'

conformance('3.1.1', ['MQTT-3.14.4-3'], 'the server closes after a DISCONNECT and sends nothing', async (wire) => {
  const client = await wire.connected()
  client.send('e0 00')
  await client.expectClosed()
})

conformance('3.1.1', ['MQTT-3.14.1-1'], 'a DISCONNECT with flags or a body closes', async (wire) => {
  await closesConnection(wire, 'e1 00', 'e2 00', 'e4 00', 'e8 00', 'ef 00', 'e0 01 00', 'e0 02 00 00')
})

conformance('3.1.1', ['MQTT-3.14.4-3'], 'packets after a DISCONNECT are not handled', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const client = await wire.connected()
  client.send(disconnect, publish({ topic, payload: 'x', qos: 1, id: 1 }), pingreq, subscribe(2, [[topic, 0]]))
  await client.expectClosed()
  await other.expectNothing()
})

conformance('3.1.1', ['MQTT-3.14.4-3'], 'a CONNECT after a DISCONNECT needs a new connection', async (wire) => {
  const client = await wire.connected()
  client.send(disconnect, connect({ clientId: wire.id('again') }))
  await client.expectClosed()
})
