/**
 * Sparkplug B payloads (Eclipse Sparkplug 3.0, section 6.4): the protobuf messages that an edge node sends.
 *
 * Field numbers are those of org.eclipse.tahu.protobuf.Payload: timestamp 1, metrics 2, seq 3, uuid 4; of Metric:
 * name 1, timestamp 3, datatype 4, is_null 7, int_value 10, long_value 11, double_value 13, boolean_value 14,
 * string_value 15. The envelope travels as the uuid, which is written last.
 */
import type { Value } from './value.ts'

const dataType = { uint64: 8, double: 10, boolean: 11, string: 12 } as const

export interface SparkplugMetric {
  name: string
  value: Value
}

const utf8 = new TextEncoder()

class ProtobufSink {
  readonly bytes: number[] = []

  varint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.bytes.push((rest % 0x80) | 0x80)
      rest = Math.floor(rest / 0x80)
    }
    this.bytes.push(rest)
  }

  uint(field: number, value: number): void {
    this.varint(field << 3)
    this.varint(value)
  }

  double(field: number, value: number): void {
    this.varint((field << 3) | 1)
    const buffer = new Uint8Array(8)
    new DataView(buffer.buffer).setFloat64(0, value, true)
    this.bytes.push(...buffer)
  }

  chunk(field: number, content: ArrayLike<number>): void {
    this.varint((field << 3) | 2)
    this.varint(content.length)
    for (let i = 0; i < content.length; i++) this.bytes.push(content[i]!)
  }

  text(field: number, content: string): void {
    this.chunk(field, utf8.encode(content))
  }
}

/** Every number is a Double, so that a metric keeps the datatype that its birth declared; a bdSeq is a UInt64. */
function metricBytes({ name, value }: SparkplugMetric, timestampMs: number): number[] {
  const sink = new ProtobufSink()
  sink.text(1, name)
  sink.uint(3, timestampMs)
  if (name === 'bdSeq') {
    sink.uint(4, dataType.uint64)
    sink.uint(11, Number(value))
  } else if (typeof value === 'number') {
    sink.uint(4, dataType.double)
    sink.double(13, value)
  } else if (typeof value === 'boolean') {
    sink.uint(4, dataType.boolean)
    sink.uint(14, value ? 1 : 0)
  } else {
    sink.uint(4, dataType.string)
    if (value === null) sink.uint(7, 1)
    else sink.text(15, typeof value === 'string' ? value : JSON.stringify(value))
  }
  return sink.bytes
}

/** `sequence` is absent in a death certificate; `uuid` stands last so that its bytes end the payload. */
export function encodeSparkplug(
  metrics: readonly SparkplugMetric[],
  timestampMs: number,
  sequence: number | undefined,
  uuid?: string,
): Uint8Array {
  const sink = new ProtobufSink()
  const timestamp = Math.max(0, Math.round(timestampMs))
  sink.uint(1, timestamp)
  for (const metric of metrics) sink.chunk(2, metricBytes(metric, timestamp))
  if (sequence !== undefined) sink.uint(3, sequence)
  if (uuid !== undefined) sink.text(4, uuid)
  return Uint8Array.from(sink.bytes)
}

/** Objects become metrics named by their path, `position/latitude`; the order is the object's. */
export function metricsOf(value: { readonly [key: string]: Value }, prefix = ''): SparkplugMetric[] {
  const metrics: SparkplugMetric[] = []
  for (const [key, item] of Object.entries(value)) {
    const name = prefix + key
    if (item !== null && typeof item === 'object' && !Array.isArray(item) && !(item instanceof Uint8Array)) {
      metrics.push(...metricsOf(item as { readonly [key: string]: Value }, `${name}/`))
    } else {
      metrics.push({ name, value: item })
    }
  }
  return metrics
}
