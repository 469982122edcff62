/** W3C trace context in user properties of MQTT 5.0: `traceparent` and `tracestate`, as the specification for MQTT has them. */
import type { Properties, UserProperty } from '../mqtt/packet.ts'

export interface TraceContext {
  /** 32 hexadecimal digits. */
  traceId: string
  /** 16 of them. */
  spanId: string
  /** 1: sampled. */
  traceFlags: number
  /** Empty: there is none. */
  state: string
}

const traceParent = 'traceparent'
const traceState = 'tracestate'
const stateCharactersMax = 512

/** Undefined: there is none, or it is none that may be used. */
export function readTraceContext({ userProperties = [] }: Properties): TraceContext | undefined {
  const parent = userProperties.find(([name]) => name === traceParent)?.[1]
  if (parent === undefined) return undefined
  // Later versions may have more behind it.
  const [, version, traceId, spanId, flags] =
    /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/.exec(parent) ?? []
  if (traceId === undefined || spanId === undefined || version === 'ff') return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId) || (version === '00' && parent.length !== 55)) return undefined
  const state = userProperties.find(([name]) => name === traceState)?.[1] ?? ''
  return {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags!, 16) & 1,
    state: state.length > stateCharactersMax ? '' : state,
  }
}

/** The properties with this context in place of what they had. */
export function withTraceContext(
  properties: Properties,
  { traceId, spanId, traceFlags, state }: TraceContext,
): Properties {
  const others = (properties.userProperties ?? []).filter(([name]) => name !== traceParent && name !== traceState)
  const parent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
  const userProperties: UserProperty[] = [...others, [traceParent, parent]]
  if (state !== '') userProperties.push([traceState, state])
  return { ...properties, userProperties }
}
