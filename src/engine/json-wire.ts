/** `mqtide.v1.json`: the same client of the core as MQTT's, which sends and gets texts. */
import { JsonAnswers } from '../json/answers.ts'
import { JsonDecoder } from '../json/decoder.ts'
import type { RequestId } from '../json/operations.ts'
import { JsonRequests } from '../json/requests.ts'
import { reasonName } from '../mqtt/reason-code.ts'
import { AwaitedAnswers } from './awaited-answers.ts'
import type { TextStream } from './byte-stream.ts'
import { JsonOutput } from './json-output.ts'
import type { Wire } from './wire.ts'

export const jsonWire: Wire = (engine, connection, stream) => {
  const { client } = connection
  const { options, counters } = engine.broker
  const requests = new JsonRequests()
  const answers = new JsonAnswers(requests, () => ({
    clientId: client.clientId,
    sessionExpirySeconds: client.session?.expiryInterval ?? 0,
    keepAliveSeconds: client.keepAlive,
    messageBytesMax: options.jsonMessageBytesMax,
  }))
  const output = new JsonOutput(stream as TextStream, engine, connection, answers)
  client.payloadForm = 'utf8'
  const say = (text: string) => connection.say(text)
  const refuse = (id: RequestId | null, reasonCode: number, message: string) => {
    counters.jsonRequestsRefused.add(reasonName(reasonCode))
    say(answers.error(id, reasonCode, message))
  }
  const awaited = new AwaitedAnswers(engine, client, say, refuse)
  const decoder = new JsonDecoder(
    client,
    requests,
    {
      ...{ reply: say, refuse },
      awaitAnswer: (id, timeoutMs) => awaited.await(id, timeoutMs),
      end: () => awaited.end(),
    },
    {
      messageBytesMax: options.jsonMessageBytesMax,
      packetBytesMax: options.packetBytesMax,
      filtersMax: options.filtersPerSubscribeMax,
    },
  )
  return { decoder, output }
}
