/** An export, line by line, into a store. */

import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { type ImportedBody, ImportFault, type ImportTarget } from './import-target.ts'
import { formatVersion, type Header, headerSchema, type Line, lineSchema, type MessageLine } from './line.ts'
import { fieldsOf, LineFault, linesOf } from './line-text.ts'
import { payloadOf, propertiesOf, versions } from './line-values.ts'
import { SourceFault } from './store-import.ts'

const neverExpires = 0xffffffff

/** Throws a `SourceFault` that says the line. */
export function importLines(file: string, target: ImportTarget): string[] {
  let ended = false
  let last = 0
  try {
    for (const { number, text } of linesOf(file)) {
      last = number
      if (ended) throw new LineFault(`line ${number} follows the end`)
      ended = take(number, text, target)
    }
  } catch (error) {
    if (error instanceof LineFault) throw new SourceFault(error.message, { cause: error })
    throw error
  }
  if (last === 0) throw new SourceFault('the file is empty')
  if (!ended) throw new SourceFault(`the file ends behind line ${last} without its end: it was truncated`)
  return []
}

/** Returns whether it was the end. */
function take(number: number, text: string, target: ImportTarget): boolean {
  try {
    const fields = fieldsOf(text)
    if (number === 1) {
      requireHeader(fields)
      return false
    }
    const parsed = lineSchema.safeParse(fields)
    if (!parsed.success) throw new LineFault(described(fields, parsed.error.issues))
    const line = parsed.data
    if (line.kind === 'end') {
      requireCount(line.lines, number)
      return true
    }
    takeLine(line, target)
    return false
  } catch (error) {
    if (error instanceof LineFault || error instanceof ImportFault || isFaultOfTheWire(error)) {
      throw new LineFault(`line ${number} ${error.message}`)
    }
    throw error
  }
}

function isFaultOfTheWire(error: unknown): error is Error {
  return error instanceof ProtocolError || error instanceof RangeError
}

function requireHeader(fields: unknown): Header {
  const header = headerSchema.safeParse(fields)
  if (!header.success) throw new LineFault('is not the first of an export of mqtide')
  if (header.data.formatVersion === formatVersion) return header.data
  throw new LineFault(
    `says format version ${header.data.formatVersion}, and this mqtide reads ${formatVersion}; ` +
      `mqtide ${header.data.gatewayVersion} wrote it`,
  )
}

function requireCount(lines: number | undefined, number: number): void {
  if (lines === undefined || lines === number - 1) return
  throw new LineFault(`says that ${lines} lines stand before it, and ${number - 1} do: some were lost or added`)
}

function described(fields: unknown, issues: readonly { path: PropertyKey[]; message: string }[]): string {
  const { kind } = fields as { kind?: unknown }
  const [{ path, message } = { path: [], message: '' }] = issues
  if (path[0] === 'kind' || (path.length === 0 && kind === undefined))
    return `is of a kind that this mqtide does not know: ${JSON.stringify(kind)}`
  return `is wrong${path.length > 0 ? ` in ${path.join('.')}` : ''}: ${message}`
}

function takeLine(line: Exclude<Line, { kind: 'end' }>, target: ImportTarget): void {
  switch (line.kind) {
    case 'session':
      target.session(
        {
          number: line.number,
          clientId: line.clientId,
          version: versions[line.protocol],
          expiryInterval: line.expirySeconds ?? neverExpires,
          expiresAt: line.expiresAt,
          connected: line.connected,
          username: line.username,
          namespace: line.namespace,
          principal: line.principal,
        },
        line.ended,
      )
      break
    case 'subscription': {
      const { session, filter: topicFilter, qos, noLocal, retainAsPublished, retainHandling, identifier = 0 } = line
      target.subscription({ session, topicFilter, qos, noLocal, retainAsPublished, retainHandling, identifier })
      break
    }
    case 'will': {
      const { session, topic, qos, retain, delaySeconds: delayInterval, expirySeconds = -1, dueAt } = line
      const content = { payload: payloadOf(line), properties: propertiesOf(line) }
      target.will({
        session,
        topic,
        ...content,
        qos,
        retain,
        delayInterval,
        messageExpiryInterval: expirySeconds,
        dueAt,
      })
      break
    }
    case 'incoming':
      target.incoming(line.session, line.packetId)
      break
    case 'released':
      target.released(line.session, line.position)
      break
    case 'sent':
      target.sent(line.session, line.position)
      break
    case 'stream':
    case 'segment':
    case 'cursor':
      takeStream(line, target)
      break
    default:
      takeMessages(line, target)
  }
}

function takeStream(line: Extract<Line, { kind: 'stream' | 'segment' | 'cursor' }>, target: ImportTarget): void {
  switch (line.kind) {
    case 'stream': {
      const { number, namespace, name, filter, firstOffset } = line
      target.stream({ number, namespace, name, filter, firstOffset })
      break
    }
    case 'segment': {
      const { stream, firstOffset, firstAt, lastAt, messages, bytes } = line
      target.segment({ stream, firstOffset, firstAt, lastAt, messages, bytes })
      break
    }
    case 'cursor': {
      const { stream, session = 0, group: name, filter, position, notBefore, open } = line
      target.cursor({ stream, session, name, filter, position, notBefore: notBefore ?? 0, open })
    }
  }
}

type MessagesLine = Extract<Line, { kind: 'queue' | 'attempt' | 'seen' | 'counted' | 'entry' | 'retained' | 'delayed' }>

function takeMessages(line: MessagesLine, target: ImportTarget): void {
  switch (line.kind) {
    case 'queue': {
      const { number, namespace, name, priority, filter } = line
      target.queue({ number, namespace, name, priority, filter })
      break
    }
    case 'attempt': {
      const { queue: log, position, failed, returned, dueAt, reason } = line
      target.attempt({ log, position, failed, returned, dueAt: dueAt ?? 0, reason })
      break
    }
    case 'seen': {
      const { namespace, address: log, id, at, queue: lane, position } = line
      target.seen({ namespace, log, id, at, lane, position })
      break
    }
    case 'counted': {
      const { namespace, address: log, publisher, sequence, at } = line
      target.counted({ namespace, log, publisher, sequence, at })
      break
    }
    case 'entry': {
      const { log: session, position, qos, retain, sharedFilter, subscriptionIdentifiers } = line
      const reference = { session, position, messageId: 0, qos, retain, sharedFilter, subscriptionIdentifiers }
      target.entry(reference, bodyOf(line.message))
      break
    }
    case 'retained':
      target.retained(line.namespace, line.topic, bodyOf(line.message))
      break
    case 'delayed': {
      const { namespace, clock, dueAt, topic, qos, retain, publisher, principal, scheduleId, publishedAt } = line
      const content = {
        payload: payloadOf(line),
        properties: propertiesOf(line),
        expirySeconds: line.expirySeconds ?? -1,
      }
      const whose = { namespace, publisher, principal, scheduleId }
      target.delayed({ ...whose, clock, dueAt, topic, ...content, qos, retain, publishedAt })
    }
  }
}

function bodyOf(message: number | MessageLine): ImportedBody {
  if (typeof message === 'number') return message
  const { id, topic, qos, publisher, publishedAt, expiresAt } = message
  return {
    id,
    topic,
    payload: payloadOf(message),
    properties: propertiesOf(message),
    qos,
    publisher,
    publishedAt,
    expiresAt,
  }
}
