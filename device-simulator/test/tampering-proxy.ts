/** Stands between the swarm and a real broker and does to packets what a bad broker would do. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet'

/** What became of a PUBLISH: packets to pass on instead, to its receiver and back to its sender. */
export interface Verdict {
  onward: Packet[]
  back: Packet[]
}

/** Called for each PUBLISH of the direction it is meant for, with its number from 0 in the whole run. */
export type Tamper = (publish: IPublishPacket, number: number) => Verdict

export const passOn = (publish: IPublishPacket): Verdict => ({ onward: [publish], back: [] })

/** The acknowledgement with which the receiver of this PUBLISH would have ended it, as far as one packet can. */
export function acknowledgementOf({ qos, messageId }: IPublishPacket): Packet[] {
  if (qos === 0 || messageId === undefined) return []
  return [qos === 1 ? { cmd: 'puback', messageId } : { cmd: 'pubrec', messageId }]
}

export interface Proxy extends AsyncDisposable {
  url: string
}

/** @param tampers by direction: `up` from the devices to the broker, `down` from the broker to the devices */
export async function tamperingProxy(
  brokerUrl: string,
  tampers: { up?: Tamper; down?: Tamper },
  protocolVersion = 4,
): Promise<Proxy> {
  const { hostname, port } = new URL(brokerUrl)
  const sockets = new Set<Socket>()
  const counts = { up: 0, down: 0 }
  const server = createServer((device) => {
    const broker = connect(Number(port), hostname)
    for (const socket of [device, broker]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        device.destroy()
        broker.destroy()
        sockets.delete(socket)
      })
    }
    const send = (to: Socket, packets: readonly Packet[]): void => {
      for (const packet of packets) to.write(generate(packet, { protocolVersion }))
    }
    const relay = (from: Socket, to: Socket, direction: 'up' | 'down'): void => {
      const reading = parser({ protocolVersion })
      reading.on('packet', (packet: Packet) => {
        const tamper = tampers[direction]
        if (packet.cmd !== 'publish' || tamper === undefined) {
          send(to, [packet])
          return
        }
        const { onward, back } = tamper(packet, counts[direction]++)
        send(to, onward)
        send(from, back)
      })
      from.on('data', (chunk: Buffer) => reading.parse(chunk))
    }
    relay(device, broker, 'up')
    relay(broker, device, 'down')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as { port: number }
  return {
    url: `mqtt://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
