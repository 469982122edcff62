/** mosquitto_sub as a reader of MQTT 3.1.1 and 5.0, while the gateway is a program that is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { type StreamGateway, startStreamGateway } from './stream-gateway.ts'

describePeer("Mosquitto's client as a reader", ['mosquitto_sub'], ({ mosquitto_sub }) => {
  let gateway: StreamGateway
  const started: ChildProcess[] = []
  beforeEach(async () => {
    gateway = await startStreamGateway()
  })
  afterEach(async () => {
    for (const child of started.splice(0)) child.kill('SIGKILL')
    await gateway.remove()
  })

  function read(...words: string[]) {
    const port = new URL(gateway.mqtt).port
    const child = spawn(mosquitto_sub, ['-p', port, '-q', '1', '-F', '%t %p', ...words])
    started.push(child)
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const leave = async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await gone
    }
    return { leave, lines: () => output.split('\n').slice(0, -1) }
  }

  const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `meters/1 ${from + i}`)
  const detailsOf = async () => {
    const response = await fetch(`${gateway.http}/api/v1/streams/meters`)
    return (await response.json()) as { readers: number; groupList: { cursor: number; members: number }[] }
  }

  it('replays an hour with 3.1.1, and stays for what comes, also over a kill', async () => {
    await gateway.publish(0, 20)
    const all = read('-V', 'mqttv311', '-t', '$stream/meters@-1h')
    await eventually(all.lines).toEqual(lines(0, 20))
    await gateway.publish(20, 25)
    await eventually(all.lines).toEqual(lines(0, 25))
    await gateway.kill()
    await gateway.start()
    await gateway.publish(25, 30)
    const later = read('-V', 'mqttv311', '-t', '$stream/meters@earliest/meters/1')
    await eventually(later.lines).toEqual(lines(0, 30))
  })

  it('replays with 5.0 by the user property', async () => {
    await gateway.publish(0, 10)
    const words = ['-V', '5', '-t', '$stream/meters', '-D', 'SUBSCRIBE', 'user-property', 'stream-offset', 'offset:7']
    const reader = read(...words)
    await eventually(reader.lines).toEqual(lines(7, 10))
  })

  it('shares as one of two of a group, which goes on where it was after a kill', async () => {
    const group = ['-V', 'mqttv311', '-c', '-t', '$share/billing/$stream/meters@earliest']
    const [one, two] = [read('-i', 'one', ...group), read('-i', 'two', ...group)]
    await eventually(async () => (await detailsOf()).readers).toBe(2)
    await gateway.publish(0, 20)
    const both = () => [...one.lines(), ...two.lines()]
    await eventually(() => both().length).toBe(20)
    expect(new Set(both())).toEqual(new Set(lines(0, 20)))
    await eventually(async () => (await detailsOf()).groupList[0]!.cursor).toBe(20)
    // Longer than a cursor waits to be stored.
    await Promise.all([one.leave(), two.leave()])
    await gateway.publish(20, 25)
    await gateway.kill()
    await gateway.start()
    const three = read('-i', 'three', ...group)
    await eventually(three.lines).toEqual(expect.arrayContaining(lines(20, 25)))
  })
})
