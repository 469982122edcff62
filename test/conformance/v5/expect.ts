/*
 * Expectations on the answers of a 5.0 broker, each one event: a packet, or a packet and the close behind it.
 *
 * A reason code that the specification names is expected exactly. Where it names only the class of the fault (malformed
 * packet or protocol error are both defensible) the tests pass the list of codes it allows.
 */

import { expect } from 'vitest'
import type { Bytes, ConnectFields } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import type { Wire } from '../harness.ts'
import {
  type Acknowledgement,
  acknowledge,
  type Decoded,
  decode,
  disconnect,
  type PropertyValue,
  publish,
  subscribe,
} from './packets.ts'

export type Reason = number | readonly number[]

/** Where a rule is broken and the specification does not say which of the two kinds of fault it is. */
export const malformedOrProtocolError = [0x81, 0x82] as const

function expectReason(decoded: Decoded, reason: Reason): void {
  if (typeof reason === 'number') expect(decoded).toMatchObject({ reasonCode: reason })
  else expect(reason, `${decoded.type} with reason ${decoded.reasonCode}`).toContain(decoded.reasonCode)
}

/** A 5.0 client whose CONNECT was accepted. */
export function connected5(wire: Wire, fields: ConnectFields = {}, sessionPresent = false): Promise<RawClient> {
  return wire.connected({ level: 5, ...fields }, sessionPresent)
}

/** The next packet, decoded. */
export async function next(client: RawClient): Promise<Decoded> {
  return decode(await client.expectPacket())
}

/** A CONNACK that refuses, with Session Present 0, and the close behind it. */
export async function expectRefused(client: RawClient, reason: Reason): Promise<Decoded> {
  const decoded = await next(client)
  expect(decoded).toMatchObject({ type: 'connack', sessionPresent: false })
  expectReason(decoded, reason)
  await client.expectClosed()
  return decoded
}

/** Sends a CONNECT on a new connection and expects it to be refused. */
export async function expectConnectRefused(wire: Wire, bytes: Bytes, reason: Reason): Promise<Decoded> {
  const client = await wire.open()
  client.send(bytes)
  return await expectRefused(client, reason)
}

/** A DISCONNECT from the broker and the close behind it. */
export async function expectDisconnected(client: RawClient, reason: Reason): Promise<Decoded> {
  const decoded = await next(client)
  expect(decoded).toMatchObject({ type: 'disconnect' })
  expectReason(decoded, reason)
  await client.expectClosed()
  return decoded
}

/** On a new connection: CONNECT, then bytes that end it with this reason. */
export async function expectFault(
  wire: Wire,
  bytes: Bytes,
  reason: Reason,
  fields: ConnectFields = {},
): Promise<Decoded> {
  const client = await connected5(wire, fields)
  client.send(bytes)
  return await expectDisconnected(client, reason)
}

export async function expectAcknowledged(
  client: RawClient,
  type: Acknowledgement,
  packetId: number,
  reason: Reason = 0,
): Promise<Decoded> {
  const decoded = await next(client)
  expect(decoded).toMatchObject({ type, packetId })
  expectReason(decoded, reason)
  return decoded
}

/** A PUBACK or PUBREC of success: 0x00, or 0x10 which tells that nobody subscribes. */
export const taken = [0x00, 0x10] as const

export interface ExpectedPublish {
  topic: string
  payload?: string
  qos?: number
  retain?: boolean
  dup?: boolean
  packetId?: number
  /** Exact list in the order of the wire; default none. */
  properties?: [identifier: number, value: PropertyValue][]
}

/** The next packet is this PUBLISH; its packet identifier may be any but 0 unless given. */
export async function expectPublish(
  client: RawClient,
  wanted: ExpectedPublish,
): Promise<Decoded & { packetId: number }> {
  const decoded = await next(client)
  const { topic, payload = '', qos = 0, retain = false, dup = false, packetId, properties = [] } = wanted
  const flags = (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)
  expect(decoded).toMatchObject({ type: 'publish', topic, payload, flags, properties })
  if (packetId !== undefined) expect(decoded.packetId).toBe(packetId)
  if (qos > 0) expect(decoded.packetId).toBeGreaterThan(0)
  return { ...decoded, packetId: decoded.packetId ?? 0 }
}

/** Subscribes to one filter; the options byte is QoS in bits 0-1, No Local 4, Retain As Published 8, Retain Handling 16, 32. */
export async function subscribed(
  client: RawClient,
  filter: string,
  options = 0,
  properties?: Uint8Array,
  packetId = 1,
): Promise<void> {
  client.send(subscribe(packetId, [[filter, options]], properties))
  await expectSuback(client, packetId, [options & 3])
}

export async function expectSuback(client: RawClient, packetId: number, reasonCodes: number[]): Promise<Decoded> {
  const decoded = await next(client)
  expect(decoded).toMatchObject({ type: 'suback', packetId, reasonCodes })
  return decoded
}

export async function expectUnsuback(client: RawClient, packetId: number, reasonCodes: number[]): Promise<Decoded> {
  const decoded = await next(client)
  expect(decoded).toMatchObject({ type: 'unsuback', packetId, reasonCodes })
  return decoded
}

/** Runs every case of a table; a failure tells which one it was. */
export async function eachCase<Case>(
  cases: Readonly<Record<string, Case>>,
  run: (value: Case, name: string) => Promise<unknown>,
): Promise<void> {
  for (const [name, value] of Object.entries(cases)) {
    try {
      await run(value, name)
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
}

/** Completes the receiver's side of a QoS 2 delivery, from PUBREC to PUBCOMP. */
export async function completeQos2(client: RawClient, packetId: number): Promise<void> {
  client.send(acknowledge('pubrec', packetId))
  await expectAcknowledged(client, 'pubrel', packetId)
  client.send(acknowledge('pubcomp', packetId))
}

/** Leaves with a normal DISCONNECT and waits until the broker has closed, so that it has handled everything before. */
export async function leave(client: RawClient, properties?: Uint8Array): Promise<void> {
  client.send(disconnect(0x00, properties))
  await client.expectClosed()
}

/**
 * No PUBLISH has reached a subscriber of `topic`: of what was sent before, nothing is there when a message published
 * now, through the same subscriber, comes back as the first.
 */
export async function expectNothingArrives(subscriber: RawClient, topic: string): Promise<void> {
  subscriber.send(publish({ topic, payload: 'nothing before this' }))
  await expectPublish(subscriber, { topic, payload: 'nothing before this' })
}

/** No session is left for the client identifier. */
export async function expectSessionGone(wire: Wire, clientId: string): Promise<void> {
  const client = await connected5(wire, { clientId, clean: false }, false)
  await leave(client)
}

/**
 * On a new connection: a SUBSCRIBE with this filter fails. The specification has the reason 0x8F for it in SUBACK and
 * DISCONNECT, and lets a filter that breaks its grammar be a fault of the whole packet.
 */
export async function expectFilterRefused(wire: Wire, filter: string): Promise<void> {
  const client = await connected5(wire)
  client.send(subscribe(1, [[filter, 0]]))
  const { type, reasonCode, reasonCodes } = await next(client)
  if (type === 'suback') expect(reasonCodes, filter).toEqual([0x8f])
  else {
    expect(type, filter).toBe('disconnect')
    expect([0x81, 0x82, 0x8f], filter).toContain(reasonCode)
    await client.expectClosed()
  }
}
