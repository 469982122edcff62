/**
 * `npm run aedes-program`: a program of others that embeds aedes, aedes-cli, on `mqtide/aedes`. It is installed by npm into a folder of its
 * own, where the package that it imports as aedes is ours; nothing of it is changed. Its own tests run, without that of a MongoDB; then it is started, and a message
 * goes from a client over TCP to one over WebSocket.
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import mqtt from 'mqtt'

const packages = ['aedes-cli@1.0.2', 'leaked-handles@5.2.0']
const ours = new URL('../src/aedes/index.ts', import.meta.url).href
const run = promisify(execFile)

interface Program {
  start(args: string[]): Promise<{ broker: { close(done: () => void): void }; servers: { close(): void }[] }>
}

const folder = mkdtempSync(join(tmpdir(), 'mqtide-aedes-program-'))
try {
  writeFileSync(join(folder, 'package.json'), '{"private":true}')
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...packages], { cwd: folder })
  const aedes = join(folder, 'node_modules/aedes')
  rmSync(aedes, { recursive: true })
  mkdirSync(aedes)
  writeFileSync(join(aedes, 'package.json'), '{"name":"aedes","type":"module","main":"index.js"}')
  writeFileSync(join(aedes, 'index.js'), `export * from '${ours}'\nexport { default } from '${ours}'\n`)
  // Node does not look for tests below node_modules.
  const program = join(folder, 'program')
  cpSync(join(folder, 'node_modules/aedes-cli'), program, { recursive: true })
  const tests = await run(process.execPath, ['--test', 'test/cli.test.js', 'test/authorizer.test.js'], { cwd: program })
  console.log(
    tests.stdout
      .split('\n')
      .filter((line) => /^[✔✖]|^ℹ (pass|fail)/u.test(line))
      .join('\n'),
  )
  await meet(createRequire(join(program, 'package.json'))('./test/helper.js') as Program)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function meet(program: Program): Promise<void> {
  const { broker, servers } = await program.start(['--port', '18841', '--ws-port', '18842', '--protos', 'tcp', 'ws'])
  const page = await mqtt.connectAsync('ws://127.0.0.1:18842')
  await page.subscribeAsync('a/#', { qos: 1 })
  const device = await mqtt.connectAsync('mqtt://127.0.0.1:18841')
  const received = once(page as never, 'message')
  await device.publishAsync('a/b', 'hello', { qos: 1 })
  const [topic, payload] = await received
  console.log(`over TCP to WebSocket: ${topic} ${payload}`)
  await Promise.all([page.endAsync(), device.endAsync()])
  for (const server of servers) server.close()
  await new Promise<void>((resolve) => broker.close(resolve))
}
