/**
 * Requests and their answers: one subscription for all answers to this program, to a topic that only it knows, and a number in
 * the correlation data for each request under way.
 */
import type { Connection, RequestOptions } from './connection.ts'
import { MqtideError } from './errors.ts'
import { madeUp } from './made-up.ts'
import type { Message } from './message.ts'
import type { Subscription } from './subscription.ts'

export class Requests {
  readonly #connection: Connection
  readonly #underWay = new Map<string, (message: Message) => void>()
  #answers: Subscription | undefined
  #lastNumber = 0

  constructor(connection: Connection) {
    this.#connection = connection
  }

  async request(topic: string, payload: unknown, options: RequestOptions): Promise<Message> {
    const { timeoutMs = 10_000, ...how } = options
    this.#answers ??= this.#listen()
    const responseTopic = this.#answers.filter
    const correlationData = btoa(String(++this.#lastNumber))
    let timer: ReturnType<typeof setTimeout> | undefined
    try {
      return await new Promise<Message>((resolve, reject) => {
        const late = () => reject(new MqtideError('timeout', `no answer to the request on ${topic} in ${timeoutMs} ms`))
        timer = setTimeout(late, timeoutMs)
        this.#underWay.set(correlationData, resolve)
        this.#connection.publishWith(topic, payload, how, { responseTopic, correlationData }).catch(reject)
      })
    } finally {
      clearTimeout(timer)
      this.#underWay.delete(correlationData)
    }
  }

  #listen(): Subscription {
    const take = (message: Message) => this.#underWay.get(message.properties.correlationData ?? '')?.(message)
    const answers = this.#connection.subscribe(`replies/${this.#connection.clientId}/${madeUp()}`, take, { qos: 1 })
    // Refused or ended: the next request tries again.
    answers.ready.catch(() => {
      if (this.#answers === answers) this.#answers = undefined
    })
    return answers
  }
}
