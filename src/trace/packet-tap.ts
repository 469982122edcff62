/**
 * Looks at the packets of one connection for the traces that are about it. What comes in is seen between decoder and client; what
 * goes out is decoded once more, by a decoder as a client has it.
 *
 * It is alone in knowing of traces: a fault in it ends the trace of this connection, never the connection.
 */
import type { Tap, Tapped } from '../engine/tap.ts'
import { Decoder } from '../mqtt/decoder.ts'
import { type PacketSink, PacketType, type PublishFrame } from '../mqtt/packet.ts'
import { packetName } from '../mqtt/properties.ts'
import {
  cut,
  type PacketView,
  viewConnect,
  viewList,
  viewProperties,
  viewPublish,
  viewReason,
  viewText,
} from './packet-view.ts'
import type { Trace } from './trace.ts'
import type { TraceLine } from './views.ts'

/** Topic aliases that are remembered of what is sent. */
const aliasesMax = 65_535

type Show = (type: PacketType, view: () => PacketView, topic?: string) => void

type Pass = (type: PacketType, view: () => PacketView, hand: (sink: PacketSink) => void) => void

/** `then` gets each packet after it was shown; null: nobody. */
function showingSink(show: Show, showPublish: (frame: PublishFrame) => void, then: PacketSink | null): PacketSink {
  const pass: Pass = (type, view, hand) => {
    show(type, view)
    if (then !== null) hand(then)
  }
  return {
    onPublish(frame) {
      showPublish(frame)
      then?.onPublish(frame)
    },
    onConnect: (packet) =>
      pass(
        PacketType.connect,
        () => viewConnect(packet),
        (sink) => sink.onConnect(packet),
      ),
    onConnack: (packet) => {
      const { sessionPresent, reasonCode, properties } = packet
      const view = () => ({ sessionPresent, ...viewReason(reasonCode, properties) })
      pass(PacketType.connack, view, (sink) => sink.onConnack(packet))
    },
    ...showingAcknowledgements(pass),
    ...showingSubscriptions(pass),
    onPingreq: () =>
      pass(
        PacketType.pingreq,
        () => ({}),
        (sink) => sink.onPingreq(),
      ),
    onPingresp: () =>
      pass(
        PacketType.pingresp,
        () => ({}),
        (sink) => sink.onPingresp(),
      ),
    onDisconnect: (packet) => {
      const { reasonCode, properties } = packet
      pass(
        PacketType.disconnect,
        () => viewReason(reasonCode, properties),
        (sink) => sink.onDisconnect(packet),
      )
    },
    onAuth: (packet) => {
      const { reasonCode, properties } = packet
      pass(
        PacketType.auth,
        () => viewReason(reasonCode, properties),
        (sink) => sink.onAuth(packet),
      )
    },
  }
}

function showingAcknowledgements(pass: Pass): Pick<PacketSink, 'onPuback' | 'onPubrec' | 'onPubrel' | 'onPubcomp'> {
  return {
    onPuback: (id, code, properties) =>
      pass(
        PacketType.puback,
        () => viewAck(id, code, properties),
        (sink) => sink.onPuback(id, code, properties),
      ),
    onPubrec: (id, code, properties) =>
      pass(
        PacketType.pubrec,
        () => viewAck(id, code, properties),
        (sink) => sink.onPubrec(id, code, properties),
      ),
    onPubrel: (id, code, properties) =>
      pass(
        PacketType.pubrel,
        () => viewAck(id, code, properties),
        (sink) => sink.onPubrel(id, code, properties),
      ),
    onPubcomp: (id, code, properties) =>
      pass(
        PacketType.pubcomp,
        () => viewAck(id, code, properties),
        (sink) => sink.onPubcomp(id, code, properties),
      ),
  }
}

function showingSubscriptions(
  pass: Pass,
): Pick<PacketSink, 'onSubscribe' | 'onSuback' | 'onUnsubscribe' | 'onUnsuback'> {
  return {
    onSubscribe: (packet) => {
      const { packetId, subscriptions, properties } = packet
      const listed = () => viewList(subscriptions, (one) => ({ ...one, topicFilter: cut(one.topicFilter) }))
      const view = () => ({ packetId, subscriptions: listed(), ...viewProperties(properties) })
      pass(PacketType.subscribe, view, (sink) => sink.onSubscribe(packet))
    },
    onSuback: (packet) =>
      pass(
        PacketType.suback,
        () => viewCodes(packet),
        (sink) => sink.onSuback(packet),
      ),
    onUnsubscribe: (packet) => {
      const { packetId, topicFilters, properties } = packet
      const view = () => ({ packetId, topicFilters: viewList(topicFilters, cut), ...viewProperties(properties) })
      pass(PacketType.unsubscribe, view, (sink) => sink.onUnsubscribe(packet))
    },
    onUnsuback: (packet) =>
      pass(
        PacketType.unsuback,
        () => viewCodes(packet),
        (sink) => sink.onUnsuback(packet),
      ),
  }
}

function viewAck(packetId: number, ...reason: Parameters<typeof viewReason>): PacketView {
  return { packetId, ...viewReason(...reason) }
}

function viewCodes({ packetId, reasonCodes, properties }: Parameters<PacketSink['onSuback']>[0]): PacketView {
  return { packetId, reasonCodes: viewList(reasonCodes, (code) => code), ...viewProperties(properties) }
}

export class PacketTap implements Tap {
  readonly sink: Tap['sink']
  traces: Trace[] = []
  readonly #connection: Tapped
  readonly #onError: (error: unknown) => void
  readonly #sentSink: PacketSink
  #sent: Decoder | null = null
  /** Of what is sent, since the tap is there. */
  readonly #aliases = new Map<number, string>()
  /** CONNECT's: the client has it only when its CONNECT is judged. */
  #clientId: string

  constructor(connection: Tapped, onError: (error: unknown) => void) {
    this.#connection = connection
    this.#onError = onError
    this.#clientId = connection.client.clientId
    const { client } = connection
    const showIn: Show = (type, view) => this.#guarded(() => this.#show('received', type, view))
    const publishIn = (frame: PublishFrame) => this.#guarded(() => this.#showPublish('received', frame))
    const shown = showingSink(showIn, publishIn, client)
    this.sink = {
      ...shown,
      onConnect: (packet) => {
        this.#clientId = packet.clientId
        shown.onConnect(packet)
        // It was looked at only because it might have been another.
        if (this.traces.every(({ asked }) => asked.clientId !== undefined && asked.clientId !== packet.clientId))
          connection.lookOn(null)
      },
      onPublish: (frame) => {
        publishIn(frame)
        return client.onPublish(frame)
      },
      onAck: (packetId, reasonCode, properties) => {
        this.#guarded(() => this.#tell('received', { packet: 'JSON', op: 'ack', packetId, reasonCode }, undefined))
        client.onAck(packetId, reasonCode, properties)
      },
      peer: client.peer,
      get payloadForm() {
        return client.payloadForm
      },
      set payloadForm(form) {
        client.payloadForm = form
      },
    }
    this.#sentSink = showingSink(
      (type, view) => this.#show('sent', type, view),
      (frame) => this.#showPublish('sent', frame),
      null,
    )
  }

  sentText(buffer: Uint8Array, start: number, end: number): void {
    this.#guarded(() => {
      const text = JSON.parse(Buffer.from(buffer.subarray(start, end)).toString()) as Record<string, unknown>
      const { topic } = text
      for (const trace of this.traces) {
        const line = this.#line('sent')
        if (!trace.fits(line, typeof topic === 'string' ? topic : undefined)) continue
        trace.write({ ...line, packet: 'JSON', ...viewText(text, trace.asked.payloadBytes), ...this.#identity })
      }
    })
  }

  sent(buffer: Uint8Array, start: number, end: number): void {
    this.#guarded(() => {
      this.#sent ??= this.#decoder(buffer[start]! >> 4)
      // A copy: what the decoder keeps of a chunk must not be written over.
      this.#sent.push(new Uint8Array(buffer.subarray(start, end)))
    })
  }

  fault(reason: string, text: string): void {
    this.#guarded(() => this.#tell('fault', { reason, text }, undefined))
  }

  closed(reason: string): void {
    this.#guarded(() => this.#tell('closed', { reason }, undefined))
  }

  #decoder(firstType: number): Decoder {
    const { version, connected } = this.#connection.client
    const established = connected && firstType !== PacketType.connack
    const options = { role: 'client', version: version || 4, packetBytesMax: Number.POSITIVE_INFINITY } as const
    return new Decoder(this.#sentSink, { ...options, established })
  }

  #showPublish(event: 'received' | 'sent', frame: PublishFrame): void {
    const topic = this.#topicOf(event, frame)
    for (const trace of this.traces) {
      const line = this.#line(event)
      if (!trace.fits(line, topic)) continue
      const view = viewPublish(frame, topic ?? '(unknown alias)', trace.asked.payloadBytes)
      trace.write({ ...line, packet: 'PUBLISH', ...view, ...this.#identity })
    }
  }

  #topicOf(event: 'received' | 'sent', { buffer, topicStart, topicEnd, topicAlias }: PublishFrame): string | undefined {
    const named = Buffer.from(buffer.subarray(topicStart, topicEnd)).toString()
    if (event === 'received') return named === '' ? this.#connection.client.incomingAliases?.[topicAlias]?.topic : named
    if (named === '')
      return this.#aliases.get(topicAlias) ?? this.#connection.client.outgoingAliases?.topicOf(topicAlias)
    if (topicAlias > 0 && this.#aliases.size < aliasesMax) this.#aliases.set(topicAlias, named)
    return named
  }

  #show(event: 'received' | 'sent', type: PacketType, view: () => PacketView): void {
    this.#tell(event, { packet: packetName(type) }, view)
  }

  #tell(event: TraceLine['event'], fields: PacketView, view: (() => PacketView) | undefined): void {
    for (const trace of this.traces) {
      const line = this.#line(event)
      if (trace.fits(line, undefined)) trace.write({ ...line, ...fields, ...view?.(), ...this.#identity })
    }
  }

  /** Of whose packet it is; nothing in a packet may pass for it. */
  get #identity() {
    const { client } = this.#connection
    return { namespace: client.namespace.name, clientId: cut(this.#clientIdNow), address: client.peer.address }
  }

  #line(event: TraceLine['event']) {
    const { client } = this.#connection
    return { event, namespace: client.namespace.name, clientId: this.#clientIdNow, address: client.peer.address }
  }

  get #clientIdNow(): string {
    return this.#connection.client.clientId || this.#clientId
  }

  #guarded(action: () => void): void {
    if (this.traces.length === 0) return
    try {
      action()
    } catch (error) {
      this.traces = []
      this.#connection.lookOn(null)
      this.#onError(error)
    }
  }
}
