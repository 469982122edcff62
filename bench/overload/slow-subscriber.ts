/** A program around the gateway of a checkout, with a subscriber of its own that takes its time: `FOLDER MQTT_PORT HTTP_PORT`. */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

const [folder, mqttPort, httpPort] = process.argv.slice(2)
const { createGateway } = (await import(pathToFileURL(join(folder!, 'src/gateway.ts')).href)) as {
  createGateway(options: object): Promise<{
    listen(): Promise<void>
    subscribe(filter: string): AsyncIterable<unknown>
  }>
}
const gateway = await createGateway({
  mqttPort: Number(mqttPort),
  httpPort: Number(httpPort),
  inMemory: true,
  logLevel: 'warn',
})
const messages = gateway.subscribe('slow')
await gateway.listen()
process.stdout.write('ready\n')
for await (const _ of messages) await delay(100)
