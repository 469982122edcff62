/**
 * `npm run aedes-tests`: aedes' own tests, which its npm package brings, on `mqtide/aedes`. They are copied into a folder of their own, where the
 * file that they import aedes from is ours; nothing of them is changed. Prints how many of each file pass, and why others don't.
 *
 * Some of them look into aedes itself: its persistence, its emitter, its parser. Those can't pass, and their reasons are data here.
 * One that fails without a reason ends with 1.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = new URL('..', import.meta.url).pathname
const ours = new URL('../src/aedes/index.ts', import.meta.url).href
const testTimeoutMs = 6_000

/** By the beginning of a test's name, or by its file. */
const reasons: readonly [why: string, names: RegExp][] = [
  [
    'replaces functions of the persistence or of streams, or looks into the parser, the queue or the emitter of aedes itself',
    /throws error|client-queue|drain|messageId shoud|disconnect client on wrong cmd|closes gracefully|not duplicate|while fetching|clear outgoing|offline queue|UNIT|E2E|persistence|outgoing|incoming|utils\.js|prototype|without drainTimeout|get aedes version|maxInflightInbound|QoS 2 inbound|forward publish packets|and store one|being stored|publish fails|dedup|not store|will publish error|old wills?|wire-keyed|parser|publishes birth|_handle|setup/i,
  ],
  [
    'several brokers that share an emitter: this one is alone',
    /another broker|bridge client|cluster|remote|brokers|old broker|broker alive|live peer/i,
  ],
  [
    'the text of an error is another, or comes at another time of the same disconnection',
    /unacceptable protocol|unsupported protocol|first Packet MUST|second CONNECT|wrong protocol name|still in preConnect|connection error|succeed with no error|connackSent event|set authentication method|does not disconnect other client|closed before|before client authenticate|before authorizePublish|before addSubs|keep alive disconnections|publish invalid topic|too many levels|level limit|maxTopicLevels|over-limit|in parallel|clean retained|the last retained|\$SYS\/broker/i,
  ],
  [
    'MQTT says otherwise: one reason code for each filter, packet identifiers from 1 on, DUP on what was sent before, a session that lasts',
    /same topics|messageId 0|resend|each reconnect|direct publish|stored subscriptions|wrong messageId|unrecognized params|authorizeForward method|negated subscription|overlapped topics|retain messages with|prototype-named topic/i,
  ],
  [
    'packets are numbered or described otherwise in events',
    /`ack` event|custom function|receives a ping|default export|brokerCounter|new QoS 0 subscribers/i,
  ],
]

interface Outcome {
  file: string
  passed: number
  failed: string[]
}

function prepare(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-aedes-tests-'))
  const aedes = join(root, 'node_modules/aedes')
  for (const part of ['test', 'lib', 'package.json']) cpSync(join(aedes, part), join(folder, part), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'aedes.js'), `export * from '${ours}'\nexport { default } from '${ours}'\n`)
  writeFileSync(join(folder, 'lib/client.js'), `export { AedesClient as default } from '${ours}'\n`)
  return folder
}

async function run(folder: string, file: string): Promise<Outcome> {
  const args = ['--test', '--test-reporter=spec', `--test-timeout=${testTimeoutMs}`, `test/${file}`]
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] })
  let text = ''
  for await (const chunk of child.stdout.setEncoding('utf8')) text += chunk
  const lines = text.split('failing tests:')[0]!.split('\n')
  const names = (mark: string): string[] =>
    lines
      .filter((line) => line.trimStart().startsWith(mark))
      .map((line) =>
        line
          .trim()
          .slice(2)
          .replace(/ \([\d.]+ms\)$/, ''),
      )
  return {
    file,
    passed: names('✔').length,
    failed: names('✖').filter((name) => name !== '' && !name.startsWith('test/')),
  }
}

const folder = prepare()
const files = readdirSync(join(folder, 'test')).filter((name) => /\.c?js$/.test(name) && name !== 'helper.js')
const without: string[] = []
let [passed, failed] = [0, 0]
try {
  for (const file of files) {
    const outcome = await run(folder, file)
    passed += outcome.passed
    failed += outcome.failed.length
    console.log(`${file}: ${outcome.passed} pass, ${outcome.failed.length} don't`)
    for (const name of outcome.failed) {
      const why = reasons.find(([, names]) => names.test(name) || names.test(file))?.[0]
      console.log(`  - ${name}\n    ${why ?? 'WITHOUT A REASON'}`)
      if (why === undefined) without.push(`${file}: ${name}`)
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${passed} of ${passed + failed} pass; without a reason: ${without.length}`)
process.exitCode = without.length > 0 ? 1 : 0
