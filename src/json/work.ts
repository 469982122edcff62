/** Work on queues as the packets that clients of MQTT say it by: a SUBSCRIBE, a PUBLISH for a verdict, a PUBACK with its reason. */
import type { Properties, SubscribePacket } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { sayable } from '../mqtt/utf8.ts'
import type { AckOperation, ConsumeOperation, PublishOperation, SettleOperation } from './operations.ts'
import { identifiedBy, RequestFault, subscribePacketOf } from './packets.ts'

/** @throws RequestFault */
export function consumePacketOf(operation: ConsumeOperation): Omit<SubscribePacket, 'packetId'> {
  const { prefetch, settle } = operation
  const userProperties: [string, string][] = []
  if (prefetch !== undefined) userProperties.push(['prefetch', String(prefetch)])
  if (settle !== undefined) userProperties.push(['settle', settle === 'ack' ? 'puback' : 'explicit'])
  const filter = `$queue/${nameOf(operation)}`
  return subscribePacketOf([{ filter, qos: 1 }], { ...identifiedBy(operation), userProperties })
}

/** @throws RequestFault */
export function verdictOf(operation: SettleOperation): PublishOperation {
  const { verdict, delivery, delayMs, reason } = operation
  const topic = `$queue/${nameOf(operation)}/$${verdict}`
  return { op: 'publish', topic, qos: 1, payload: { delivery, delayMs, reason }, encoding: 'json' }
}

/** What is said of an acknowledged message besides its reason code. */
export function reasonsOf({ message, delayMs }: AckOperation): Properties {
  return {
    ...(message !== undefined && { reasonString: sayable(message) }),
    ...(delayMs !== undefined && { userProperties: [['delay-ms', String(delayMs)] as [string, string]] }),
  }
}

function nameOf({ queue }: { queue: string }): string {
  if (queue === '' || /[/+#\0]/.test(queue)) {
    throw new RequestFault(ReasonCode.topicNameInvalid, 'queue: not the name of a queue')
  }
  return queue
}
