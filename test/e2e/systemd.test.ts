/** What systemd is told, by a stand-in for its socket: ready, alive, stopping; and what its unit file says. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { run, startProgram } from './program.ts'

/** Prints each datagram. What systemd-notify sends along, a pipe by which it learns that it was read, is closed unread. */
const receiver = `$|=1; socket(S,PF_UNIX,SOCK_DGRAM,0); bind(S,sockaddr_un($ARGV[0])) or die; print "open\\n";
  while (defined recv(S,$b,4096,0)) { print "$b\\n" }`

const start = ['start', '--in-memory', '--mqtt-port', '0', '--http-port', '0']

describePeer('systemd', ['systemd-notify', 'systemd-analyze', 'perl'], ({ perl, 'systemd-analyze': analyze }) => {
  let folder: string
  const ends: (() => Promise<unknown>)[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'mqtide-systemd-'))
  })
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
    rmSync(folder, { recursive: true })
  })

  async function listen() {
    const socket = join(folder, 'notify')
    const child = spawn(perl, ['-MSocket', '-e', receiver, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    ends.push(() => {
      child.kill()
      return ended
    })
    let text = ''
    child.stdout.on('data', (chunk) => (text += String(chunk)))
    await eventually(() => text).toContain('open')
    return { socket, told: () => text }
  }

  function startWith(variables: Record<string, string>) {
    const program = startProgram(start, variables)
    ends.push(() => {
      program.process.kill('SIGKILL')
      return program.ended
    })
    return program
  }

  it('is told when the gateway is ready and not before, as often as its watchdog wants that it is alive, and that it stops', async () => {
    const { socket, told } = await listen()
    const program = startWith({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '400000' })
    await program.untilStdout('ready')
    await eventually(told).toMatch(/READY=1\nSTATUS=mqtide \S+ ready: MQTT mqtt:\/\//)
    await eventually(() => told().match(/WATCHDOG=1/g)?.length ?? 0).toBeGreaterThan(2)
    program.process.kill('SIGTERM')
    expect((await program.ended).exitCode).toBe(0)
    await eventually(told).toContain('STOPPING=1')
    expect(told().indexOf('READY=1')).toBeLessThan(told().indexOf('WATCHDOG=1'))
  })

  it('is told of no life by an event loop that is stuck', async () => {
    const { socket, told } = await listen()
    const program = startWith({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' })
    await eventually(told).toContain('WATCHDOG=1')
    program.process.kill('SIGSTOP')
    // What was under way arrives.
    let count = -1
    for (let now = told().length; now !== count; now = told().length) {
      count = now
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
    program.process.kill('SIGCONT')
    await eventually(() => told().length).toBeGreaterThan(count)
  })

  it('may want the watchdog of another process, or none', async () => {
    const { socket, told } = await listen()
    const program = startWith({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '100000', WATCHDOG_PID: '1' })
    await eventually(told).toContain('READY=1')
    program.process.kill('SIGTERM')
    await program.ended
    await eventually(told).toContain('STOPPING=1')
    expect(told()).not.toContain('WATCHDOG')
  })

  it('does not keep the gateway from starting where it can not be told', async () => {
    const program = startWith({ NOTIFY_SOCKET: join(folder, 'nobody') })
    await program.untilStdout('ready')
    program.process.kill('SIGTERM')
    const { exitCode, stderr } = await program.ended
    expect(exitCode).toBe(0)
    expect(stderr.toString().match(/systemd was not told/g)).toHaveLength(1)
  })

  it('finds no fault in the unit file', async () => {
    const unit = new URL('../../docs/service/mqtide.service', import.meta.url)
    expect(readFileSync(unit, 'utf8')).toContain('Type=notify')
    const { stdout, stderr } = await run(analyze, ['verify', '--man=no', unit.pathname])
    const complaints = `${stdout.toString()}${stderr}`.split('\n').filter((line) => line.includes('mqtide.service'))
    // The program is not installed here.
    expect(complaints.filter((line) => !/Command .* is not executable/.test(line))).toEqual([])
  })
})
