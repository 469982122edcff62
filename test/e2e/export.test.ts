/** `mqtide export` and `mqtide import` as a user types them: the clients of one gateway go on at another. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connectClient, startGateway } from './gateway.ts'
import { runCommand } from './program.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-e2e-export-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const resumed = {
  clientId: 'logger',
  clean: false,
  protocolVersion: 5,
  properties: { sessionExpiryInterval: 600 },
} as const

describe('a gateway that moves', () => {
  it('is exported while it runs, and its clients go on at another one with what waits for them', async () => {
    const dataDir = join(folder, 'old')
    const file = join(folder, 'all.jsonl')
    const old = await startGateway({ inMemory: false, dataDir, queues: { jobs: { filter: 'jobs/#' } } })
    const logger = await connectClient(old, resumed)
    await logger.mqtt.subscribeAsync('plant/#', { qos: 2 })
    await logger.mqtt.endAsync()
    const sensor = await connectClient(old, { protocolVersion: 5 })
    await sensor.mqtt.publishAsync('plant/1', 'while away', {
      qos: 2,
      properties: { userProperties: { of: 'sensor' } },
    })
    await sensor.mqtt.publishAsync('plant/kept', Buffer.from([0, 255]), { qos: 1, retain: true })
    await sensor.mqtt.publishAsync('jobs/1', 'to do', { qos: 1 })
    await sensor.mqtt.publishAsync('$delayed/3600/later', 'later', { qos: 1 })

    const exported = await runCommand(['export', file, '--data-dir', dataDir])
    expect(exported).toMatchObject({ exitCode: 0, stderr: '' })
    expect(exported.stdout.toString()).toMatch(/ {2}session +1\n.* {2}entry +3\n.* {2}delayed +1\n/s)
    const running = await runCommand(['import', file, '--data-dir', dataDir])
    expect(running).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('belongs to a running mqtide') })

    const elsewhere = join(folder, 'new')
    const report = await runCommand(['import', file, '--data-dir', elsewhere, '--json'])
    expect(JSON.parse(report.stdout.toString()).counts).toEqual({
      ...{ sessions: 1, subscriptions: 1, retained: 1, queued: 3, wills: 0, queues: 1, delayed: 1, streams: 0 },
    })
    const next = await startGateway({ inMemory: false, dataDir: elsewhere, queues: { jobs: { filter: 'jobs/#' } } })
    const back = await connectClient(next, resumed)
    await back.until(2)
    expect(back.connack.sessionPresent).toBe(true)
    expect(back.received.map(({ topic, qos }) => `${topic} ${qos}`).sort()).toEqual(['plant/1 2', 'plant/kept 1'])
    const byTopic = new Map(back.received.map((packet) => [packet.topic, packet]))
    expect(byTopic.get('plant/1')!.properties!.userProperties).toEqual({ of: 'sensor' })
    expect(byTopic.get('plant/kept')!.payload).toEqual(Buffer.from([0, 255]))
    const worker = await connectClient(next)
    await worker.mqtt.subscribeAsync('$queue/jobs', { qos: 1 })
    await worker.until(1)
    expect(worker.texts()).toEqual(['to do'])
    expect(next.metrics()).toMatchObject({ mqtt_delayed_messages: 1 })
  })

  it('is told what is wrong, and with exit code 1', async () => {
    const file = join(folder, 'f.jsonl')
    const failing = async (words: string[], text: string | RegExp) => {
      const { exitCode, stderr } = await runCommand([...words, '--data-dir', join(folder, 'data')])
      expect(exitCode).toBe(1)
      expect(stderr).toMatch(text)
    }
    await failing(['export', file], 'does not exist: there is nothing to export')
    await failing(['import', file], 'does not exist')
    writeFileSync(file, 'hello\n')
    await failing(['export', file], 'exists; --force replaces it')
    await failing(['import', file], 'line 1 is no JSON')
    expect(readFileSync(file, 'utf8')).toBe('hello\n')
  })
})
