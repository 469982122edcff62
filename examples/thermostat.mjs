/**
 * A thermostat as a Node program, with the client for pages: it reports a temperature, obeys commands and answers them.
 *
 *     node thermostat.mjs http://127.0.0.1:8083 kitchen
 *
 * In another terminal: mqtide sub -t 'home/#' and mqtide pub -t home/kitchen/target -m 23 -q 1
 */
import { connect } from 'mqtide/client'

const [url = 'http://127.0.0.1:8083', room = 'kitchen'] = process.argv.slice(2)
// With a name of its own it misses no command while it is away or the gateway is started anew.
const connection = connect(url, { clientId: `thermostat-${room}` })
connection.on('state', (state, { error }) => console.log(error ? `${state}: ${error.message}` : state))

let temperature = 19
let target = 21

connection.subscribe(
  `home/${room}/target`,
  async (message) => {
    target = Number(message.text)
    console.log(`heading for ${target}`)
    if (message.properties.responseTopic) await connection.respond(message, { room, target })
  },
  { qos: 1 },
)

const report = setInterval(() => {
  temperature += (target - temperature) / 10
  const reading = { temperature: Number(temperature.toFixed(2)), target }
  connection.publish(`home/${room}/climate`, reading, { retain: true }).catch((error) => console.error(error.message))
}, 1000)

process.once('SIGINT', async () => {
  clearInterval(report)
  await connection.close()
})
