/** Lines on their way to standard error: what waits, what is dropped, what is told of it. */
import { describe, expect, it, vi } from 'vitest'
import { LineLimit } from '../../src/observe/log-limit.ts'
import { LogOutput, type LogTarget } from '../../src/observe/log-output.ts'

/** A target that takes bytes when the test says so. */
class Target implements LogTarget {
  taken = ''
  finished: [string | null, string][] = []
  #pending: { bytes: Buffer; done: (error: Error | null, written: number) => void } | null = null

  write(bytes: Buffer, done: (error: Error | null, written: number) => void): void {
    expect(this.#pending).toBeNull()
    this.#pending = { bytes, done }
  }

  get asked(): boolean {
    return this.#pending !== null
  }

  take(count = Infinity): void {
    const { bytes, done } = this.#pending!
    this.#pending = null
    const written = Math.min(count, bytes.length)
    this.taken += bytes.subarray(0, written).toString()
    done(null, written)
  }

  takeAll(): void {
    while (this.asked) this.take()
  }

  fail(): void {
    const { done } = this.#pending!
    this.#pending = null
    done(new Error('ENOSPC'), 0)
  }

  finish(underWay: Buffer | null, rest: Buffer): void {
    this.finished.push([underWay?.toString() ?? null, rest.toString()])
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

function scene() {
  const target = new Target()
  const output = new LogOutput(target, { bufferBytesMax: 1000, retryMs: 1, dropped: (lines) => `dropped ${lines}\n` })
  return { target, output }
}

const line = (text: string | number) => `${String(text).padStart(99, '.')}\n`

describe('log lines', () => {
  it('of one turn leave together, and what the target has not taken is given to it again', async () => {
    const { target, output } = scene()
    output.write('one\n', false)
    output.write('two\n', false)
    expect(target.asked).toBe(false)
    await turn()
    target.take(5)
    output.write('three\n', false)
    target.takeAll()
    expect(target.taken).toBe('one\ntwo\nthree\n')
  })

  it('are dropped beyond the limit, and one line in their place says how many', async () => {
    const { target, output } = scene()
    for (let i = 0; i < 100; i++) output.write(line(i), false)
    expect(output.droppedLines).toBe(90)
    await turn()
    target.takeAll()
    output.write('later\n', false)
    await turn()
    target.takeAll()
    expect(target.taken).toBe(`${Array.from({ length: 10 }, (_, i) => line(i)).join('')}dropped 90\nlater\n`)
  })

  it('stay dropped until half of the buffer is free, so that not every second line tells of it', async () => {
    const { target, output } = scene()
    for (let i = 0; i < 11; i++) output.write(line(i), false)
    await turn()
    target.take(200)
    output.write(line('too early'), false)
    expect(output.droppedLines).toBe(2)
    target.take(300)
    output.write(line('in time'), false)
    target.takeAll()
    expect(target.taken.split('\n').slice(10)).toEqual(['dropped 2', line('in time').trim(), ''])
  })

  it('that say why the process ends have room of their own', () => {
    const { output } = scene()
    for (let i = 0; i < 11; i++) output.write(line(i), false)
    output.write(line('fatal'), true)
    expect(output.droppedLines).toBe(1)
  })

  it('wait for a target that fails, and leave when it works again', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] })
    try {
      const { target, output } = scene()
      output.write('one\n', false)
      await turn()
      target.fail()
      output.write('two\n', false)
      await turn()
      expect(target.asked).toBe(false)
      vi.advanceTimersByTime(1)
      target.takeAll()
      expect(target.taken).toBe('one\ntwo\n')
    } finally {
      vi.useRealTimers()
    }
  })

  it('that still wait at the end are handed over apart from those under way', async () => {
    const { target, output } = scene()
    output.write('one\n', false)
    await turn()
    output.write('two\n', false)
    output.finish()
    output.finish()
    expect(target.finished).toEqual([
      ['one\n', 'two\n'],
      ['', ''],
    ])
  })
})

describe('lines of one reason', () => {
  function limited() {
    let now = 0
    let due: { at: number; call: () => void } | null = null
    const told: [number, string][] = []
    const limit = new LineLimit({
      linesPerReasonPerSecondMax: 10,
      linesPerSecondMax: 35,
      now: () => now,
      after: (delayMs, call) => (due = { at: now + delayMs, call }),
      leftOut: (lines, { reason }) => told.push([lines, reason]),
    })
    return {
      told,
      write: (reason: string, times: number) =>
        Array.from({ length: times }, () => limit.admits(reason, 40)).filter(Boolean).length,
      pass(ms: number) {
        now += ms
        const { at, call } = due ?? { at: Infinity, call: () => {} }
        if (at > now) return
        due = null
        call()
      },
    }
  }

  it('are written up to the limit, and one line at the end of the second tells of the others', () => {
    const { write, pass, told } = limited()
    expect(write('malformed_packet', 10_000)).toBe(10)
    expect(write('client connected', 3)).toBe(3)
    pass(999)
    expect(told).toEqual([])
    pass(1)
    expect(told).toEqual([[9990, 'malformed_packet']])
    expect(write('malformed_packet', 5)).toBe(5)
    pass(2000)
    expect(told).toHaveLength(1)
  })

  it('are few in all when each has a reason of its own, and so is what is told of them', () => {
    const { write, pass, told } = limited()
    let written = 0
    for (let i = 0; i < 10_000; i++) written += write(`reason ${i}`, 1)
    expect(written).toBe(35)
    pass(1000)
    expect(told).toEqual([[9965, 'reason 9999']])
  })

  it('are counted anew in the next second, also when nothing was left out', () => {
    const { write, pass } = limited()
    expect(write('a', 10)).toBe(10)
    pass(1000)
    expect(write('a', 10)).toBe(10)
  })
})
