/** `mqtide.v1.json`: the same client of the core as MQTT's, which sends and gets texts. */
import { JsonAnswers } from '../json/answers.ts'
import { JsonDecoder } from '../json/decoder.ts'
import { JsonRequests } from '../json/requests.ts'
import { reasonName } from '../mqtt/reason-code.ts'
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
  const decoder = new JsonDecoder(
    client,
    requests,
    {
      reply: (text) => connection.say(text),
      refuse(id, reasonCode, message) {
        counters.jsonRequestsRefused.add(reasonName(reasonCode))
        connection.say(answers.error(id, reasonCode, message))
      },
    },
    {
      messageBytesMax: options.jsonMessageBytesMax,
      packetBytesMax: options.packetBytesMax,
      filtersMax: options.filtersPerSubscribeMax,
    },
  )
  return { decoder, output }
}
