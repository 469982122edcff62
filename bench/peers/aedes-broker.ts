/** aedes as a program: `node aedes-broker.ts MQTT_PORT WEBSOCKET_PORT`, in-memory persistence, default options. */
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import { createWebSocketStream, WebSocketServer } from 'ws'

const [mqttPort, webSocketPort] = process.argv.slice(2).map(Number)
const broker = await Aedes.createBroker()
createServer({ noDelay: true }, broker.handle).listen(mqttPort, '127.0.0.1')
const http = createHttpServer()
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false })
sockets.on('connection', (socket, request) => {
  broker.handle(createWebSocketStream(socket), request)
})
http.listen(webSocketPort, '127.0.0.1')
