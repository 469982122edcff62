/** `mqtide explain` about queues, without a gateway. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../e2e/program.ts'

let folder: string
let config: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-explain-'))
  config = join(folder, 'mqtide.yaml')
  writeFileSync(
    config,
    `queues: { orders: { filter: shop/+/orders }, jobs: {} }
streams:
  sales: { filter: shop/+/orders }
  all: { filter: '#' }
authorization:
  rules:
    - { allow: [publish, subscribe], topic: 'shop/#' }
    - { allow: [produce, consume], topic: '$queue/jobs/#' }
`,
  )
})
afterAll(() => rmSync(folder, { recursive: true }))

async function explain(...question: string[]): Promise<string> {
  const { stdout, stderr } = await runCommand(['explain', '--config', config, ...question])
  return stdout.toString() + stderr.toString()
}

describe('mqtide explain', () => {
  it('says who may consume a queue, by the rule about it or by the one about what it takes in', async () => {
    expect(await explain('--consume', 'jobs')).toMatch(/^allowed\n.*rules\[1\]/)
    expect(await explain('--consume', 'orders')).toMatch(/^allowed\n.*rules\[0\]/)
    expect(await explain('--subscribe', '$queue/orders/shop/+/orders')).toMatch(/^allowed\n/)
    expect(await explain('--consume', 'orders.dead')).toMatch(/^denied\n.*no rule is about it/)
  })

  it('says who may read a stream: all of it, or what a filter leaves', async () => {
    expect(await explain('--consume', '$stream/sales')).toMatch(/^allowed\n.*rules\[0\]/)
    expect(await explain('--consume', '$stream/all')).toMatch(/^denied\n/)
    expect(await explain('--consume', '$stream/all@-1h/shop/7/#')).toMatch(/^allowed\n.*rules\[0\]/)
    expect(await explain('--subscribe', '$share/g/$stream/sales')).toMatch(/^allowed\n/)
    expect(await explain('--consume', '$stream/other')).toMatch(/^denied\nno stream is called other/)
    expect(await explain('--consume', '$stream/all@soon')).toMatch(/^denied\nexpected behind @ earliest/)
  })

  it('says who may publish to one, and why nobody may subscribe', async () => {
    expect(await explain('--produce', 'jobs')).toMatch(/^allowed\n/)
    expect(await explain('--produce', 'orders')).toMatch(/^denied\n/)
    expect(await explain('--consume', 'other')).toMatch(/^denied\nno queue is called other/)
    expect(await explain('--subscribe', '$queue/orders/#')).toMatch(/^denied\nthe filter of the queue orders is/)
    expect(await explain('--consume', 'jobs', '--produce', 'jobs')).toMatch(/explain needs one of/)
  })
})
