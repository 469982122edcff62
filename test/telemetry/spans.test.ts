/** Spans of OpenTelemetry, read from an exporter in memory, with real clients. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { trace } from '@opentelemetry/api'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { readTraceContext, withTraceContext } from '../../src/telemetry/trace-context.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'

const exporter = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
trace.setGlobalTracerProvider(provider)
beforeEach(() => exporter.reset())
afterAll(() => trace.disable())

const spans = (name: string): ReadableSpan[] => exporter.getFinishedSpans().filter((span) => span.name === name)

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const traceparent = `00-${traceId}-${spanId}-01`

test('a message is one trace from its publisher over the gateway to its subscriber', async () => {
  const gateway = await startGateway({ telemetry: {} })
  const reader = await connectClient(gateway, { clientId: 'reader', protocolVersion: 5 })
  await reader.mqtt.subscribeAsync('a/#', { qos: 1 })
  const writer = await connectClient(gateway, { clientId: 'writer', protocolVersion: 5 })
  const userProperties = { traceparent, tracestate: 'vendor=1', unit: 'C' }
  await writer.mqtt.publishAsync('a/b', 'secret', { qos: 1, properties: { userProperties } })
  await reader.until(1)
  await eventually(() => spans('mqtt deliver').length).toBe(1)
  const [publish, deliver] = [spans('mqtt publish')[0]!, spans('mqtt deliver')[0]!]
  expect(publish.spanContext().traceId).toBe(traceId)
  expect(publish.parentSpanContext).toMatchObject({ traceId, spanId, isRemote: true })
  expect(deliver.spanContext().traceId).toBe(traceId)
  expect(deliver.parentSpanContext?.spanId).toBe(publish.spanContext().spanId)
  expect(publish.attributes).toMatchObject({
    'messaging.client.id': 'writer',
    'messaging.destination.name': 'a/b',
    'messaging.message.body.size': 6,
    'mqtt.qos': 1,
  })
  expect(deliver.attributes['messaging.client.id']).toBe('reader')
  expect(JSON.stringify([publish.attributes, deliver.attributes])).not.toContain('secret')
  expect(reader.received[0]!.properties?.userProperties).toEqual({
    unit: 'C',
    traceparent: `00-${traceId}-${publish.spanContext().spanId}-01`,
    tracestate: 'vendor=1',
  })
})

test('a message without context begins a trace, also of a client that has no properties', async () => {
  const gateway = await startGateway({ telemetry: { spans: ['publish'] } })
  const reader = await connectClient(gateway, { protocolVersion: 5 })
  await reader.mqtt.subscribeAsync('a')
  const writer = await connectClient(gateway, { protocolVersion: 4 })
  await writer.mqtt.publishAsync('a', 'x', { qos: 1 })
  await reader.until(1)
  const { traceId: own, spanId: id } = spans('mqtt publish')[0]!.spanContext()
  expect(reader.received[0]!.properties?.userProperties).toEqual({ traceparent: `00-${own}-${id}-01` })
  expect(exporter.getFinishedSpans().map(({ name }) => name)).toEqual(['mqtt publish'])
})

test('a CONNECT follows the context that it brings, and a commit is as long as it took', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'mqtide-telemetry-'))
  try {
    const gateway = await startGateway({ telemetry: { spans: ['connect', 'commit'] }, inMemory: false, dataDir })
    const properties = { sessionExpiryInterval: 60, userProperties: { traceparent } }
    await connectClient(gateway, { clientId: 'c', protocolVersion: 5, clean: false, properties })
    await eventually(() => spans('mqtt connect').map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual([
      spanId,
    ])
    await eventually(() => spans('mqtide commit').length).toBeGreaterThan(0)
    const [commit] = spans('mqtide commit')
    expect(commit!.attributes['mqtide.batch.records']).toBeGreaterThan(0)
    expect(commit!.parentSpanContext).toBe(undefined)
    await gateway.close()
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('what the program changes is what its span is of', async () => {
  const gateway = await startGateway({
    telemetry: { spans: ['publish'] },
    onPublish: ({ topic }) => (topic === 'no' ? { reasonCode: 0x87 } : { topic: 'b' }),
  })
  const writer = await connectClient(gateway, { protocolVersion: 5 })
  await writer.mqtt.publishAsync('a', 'x', { qos: 1 })
  await expect(writer.mqtt.publishAsync('no', 'x', { qos: 1 })).rejects.toThrow()
  await eventually(() =>
    spans('mqtt publish').map(({ attributes }) => attributes['messaging.destination.name']),
  ).toEqual(['b'])
})

test('without telemetry the gateway loads nothing of OpenTelemetry, and with it the API', async () => {
  const gateway = new URL('../../src/gateway.ts', import.meta.url).href
  const loaded = async (telemetry: string): Promise<string> => {
    const code = `
      import { registerHooks } from 'node:module'
      registerHooks({ resolve(specifier, context, next) {
        // Of ours: the Prometheus client knows the API too.
        if (specifier.startsWith('@opentelemetry') && context.parentURL.includes('/src/')) console.log(specifier)
        return next(specifier, context)
      } })
      const { createGateway } = await import('${gateway}')
      const gateway = await createGateway({ mqttPort: false, httpPort: false, inMemory: true, logLevel: 'silent', ${telemetry} })
      await gateway.listen()
      await gateway.close()`
    const args = ['--input-type=module', '-e', code]
    return (await promisify(execFile)(process.execPath, args, { timeout: 60_000 })).stdout.trim()
  }
  expect(await loaded('')).toBe('')
  expect(await loaded('telemetry: {}')).toBe('@opentelemetry/api')
})

test('a context that is none is not followed', () => {
  const of = (parent: string) => readTraceContext({ userProperties: [['traceparent', parent]] })
  expect(of(traceparent)).toEqual({ traceId, spanId, traceFlags: 1, state: '' })
  expect(of(`01-${traceId}-${spanId}-03-more`)).toMatchObject({ traceId, traceFlags: 1 })
  for (const parent of [
    '',
    'x',
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
  ])
    expect(of(parent), parent).toBe(undefined)
  const context = { traceId, spanId, traceFlags: 0, state: 'v=1' }
  const properties = { contentType: 'text', userProperties: [['a', 'b'] as const, ['traceparent', 'old'] as const] }
  expect(withTraceContext(properties, context)).toEqual({
    contentType: 'text',
    userProperties: [
      ['a', 'b'],
      ['traceparent', `00-${traceId}-${spanId}-00`],
      ['tracestate', 'v=1'],
    ],
  })
})
