/*
 * MQTT 3.1.1 sections 3.12 and 3.13: PINGREQ and PINGRESP.
 */

import { pingreq, pingresp } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { closesConnection } from './expect.ts'

conformance('3.1.1', ['MQTT-3.12.4-1'], 'a PINGREQ is answered with a PINGRESP', async (wire) => {
  const client = await wire.connected()
  client.send(pingreq)
  await client.expectPacket('d0 00')
})

conformance('3.1.1', ['MQTT-3.12.4-1'], 'each of several PINGREQ in one chunk has its answer', async (wire) => {
  const client = await wire.connected()
  client.send(pingreq, pingreq, pingreq)
  await client.expectPackets(pingresp, pingresp, pingresp)
  await client.expectNothing()
})

conformance('3.1.1', ['MQTT-4.8.0-1'], 'a PINGREQ with a body closes', async (wire) => {
  await closesConnection(wire, 'c0 01 00', 'c0 02 00 01')
})

conformance('3.1.1', ['MQTT-4.8.0-1'], 'a PINGRESP from a client closes', async (wire) => {
  await closesConnection(wire, pingresp)
})
