/**
 * Spans of OpenTelemetry for what passes: a client's CONNECT, its PUBLISH, each delivery, each commit. Only the API is known here; what
 * becomes of a span is the matter of whoever has registered a tracer provider, and without one nothing comes of it.
 *
 * A message carries its context in user properties, so that its publisher, the gateway and its subscribers are one trace: the span of a
 * PUBLISH follows the publisher's, stands in its place in what goes on, and the spans of the deliveries follow it.
 */
import type * as OpenTelemetry from '@opentelemetry/api'
import type { ConnectedClient, DeliveredMessage, GatewayHooks, HookClient, PublishedMessage } from '../engine/hooks.ts'
import type { Properties } from '../mqtt/packet.ts'
import type { SpanKindName } from './span-kinds.ts'
import { readTraceContext, withTraceContext } from './trace-context.ts'

export interface Telemetry {
  hooks: GatewayHooks
  /** Absent: nobody wants to know. */
  committed?: (batch: { records: number; seconds: number }) => void
}

type Api = typeof OpenTelemetry

/** Spans of these kinds, by the API's global tracer provider. */
export function createTelemetry(api: Api, kinds: readonly SpanKindName[], version: string): Telemetry {
  const spans = new Spans(api, version)
  const has = (kind: SpanKindName): boolean => kinds.includes(kind)
  return {
    hooks: {
      ...(has('connect') && { onConnect: (client: ConnectedClient) => spans.connect(client) }),
      ...(has('publish') && {
        onPublish: (message: PublishedMessage, publisher: HookClient) => spans.publish(message, publisher),
      }),
      ...(has('deliver') && {
        onDeliver: (message: DeliveredMessage, client: HookClient) => spans.deliver(message, client),
      }),
    },
    ...(has('commit') && { committed: (batch) => spans.commit(batch) }),
  }
}

class Spans {
  readonly #api: Api
  readonly #tracer: OpenTelemetry.Tracer

  constructor(api: Api, version: string) {
    this.#api = api
    this.#tracer = api.trace.getTracer('mqtide', version)
  }

  connect(client: ConnectedClient): void {
    const { SpanKind } = this.#api
    const { protocolVersion, cleanStart, sessionPresent } = client
    const attributes = {
      ...ofClient(client),
      'mqtt.protocol_version': protocolVersion,
      'mqtt.clean_start': cleanStart,
      'mqtt.session_present': sessionPresent,
    }
    this.#tracer
      .startSpan('mqtt connect', { kind: SpanKind.SERVER, attributes }, this.#parentOf(client.properties))
      .end()
  }

  publish(message: PublishedMessage, publisher: HookClient): { properties: Properties } | undefined {
    const { SpanKind, isSpanContextValid } = this.#api
    const { topic, payload, qos, retain, isWill } = message
    const attributes = {
      ...ofClient(publisher),
      ...ofMessage('publish', { topic, payload, qos }),
      'mqtt.retain': retain,
      ...(isWill && { 'mqtt.will': true }),
    }
    const { properties } = message
    const span = this.#tracer.startSpan(
      'mqtt publish',
      { kind: SpanKind.SERVER, attributes },
      this.#parentOf(properties),
    )
    // It is routed within this call.
    queueMicrotask(() => span.end())
    const own = span.spanContext()
    if (!isSpanContextValid(own)) return undefined
    const { traceId, spanId, traceFlags } = own
    const state = own.traceState?.serialize() ?? ''
    return { properties: withTraceContext(properties, { traceId, spanId, traceFlags, state }) }
  }

  deliver(message: DeliveredMessage, client: HookClient): void {
    const { SpanKind } = this.#api
    const attributes = { ...ofClient(client), ...ofMessage('deliver', message), 'mqtt.dup': message.dup }
    const parent = this.#parentOf(message.properties)
    this.#tracer.startSpan('mqtt deliver', { kind: SpanKind.PRODUCER, attributes }, parent).end()
  }

  commit({ records, seconds }: { records: number; seconds: number }): void {
    const endTime = Date.now()
    const options = { startTime: endTime - seconds * 1000, attributes: { 'mqtide.batch.records': records } }
    this.#tracer.startSpan('mqtide commit', options, this.#api.ROOT_CONTEXT).end(endTime)
  }

  #parentOf(properties: Properties): OpenTelemetry.Context {
    const { trace, createTraceState, ROOT_CONTEXT } = this.#api
    const found = readTraceContext(properties)
    if (found === undefined) return ROOT_CONTEXT
    const { traceId, spanId, traceFlags, state } = found
    const traceState = state === '' ? {} : { traceState: createTraceState(state) }
    return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true, ...traceState })
  }
}

function ofClient({ clientId, namespace, listener }: HookClient): OpenTelemetry.Attributes {
  return { 'messaging.client.id': clientId, 'mqtide.namespace': namespace, 'mqtide.listener': listener }
}

function ofMessage(
  operation: string,
  { topic, payload, qos }: Pick<DeliveredMessage, 'topic' | 'payload' | 'qos'>,
): OpenTelemetry.Attributes {
  return {
    'messaging.system': 'mqtt',
    'messaging.operation.name': operation,
    'messaging.destination.name': topic,
    'messaging.message.body.size': payload.length,
    'mqtt.qos': qos,
  }
}
