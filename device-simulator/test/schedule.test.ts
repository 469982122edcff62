import { describe, expect, test } from 'vitest'
import { Random } from '../random.ts'
import { type Entry, Schedule } from '../schedule.ts'

describe('the open-loop schedule', () => {
  test('entries fire in the order of their due times, also when due times move', async () => {
    const random = new Random(3, ['schedule'])
    let now = 0
    const fired: number[] = []
    await new Promise<void>((resolve) => {
      const schedule = new Schedule(
        () => now,
        () => {
          now += 10
          if (fired.length >= 2000) resolve()
        },
      )
      for (let i = 0; i < 50; i++) {
        const entry: Entry = {
          dueMs: random.uniform(0, 20),
          fire() {
            fired.push(entry.dueMs)
            entry.dueMs += random.uniform(10, 30)
          },
        }
        schedule.add(entry)
      }
      // Time stands still between turns, so every turn takes what 10 ms brought.
      const tick = setInterval(() => {
        now += 10
        if (fired.length >= 2000) {
          clearInterval(tick)
          schedule.stop()
        }
      }, 1)
      schedule.start()
    })
    for (let i = 1; i < 2000; i++) expect(fired[i]!).toBeGreaterThanOrEqual(fired[i - 1]!)
  })

  test('a late generator keeps the intended times: nothing is skipped', async () => {
    let now = 0
    const intended: number[] = []
    await new Promise<void>((resolve) => {
      const schedule = new Schedule(
        () => now,
        () => resolve(),
      )
      const entry: Entry = {
        dueMs: 0,
        fire() {
          intended.push(entry.dueMs)
          entry.dueMs += 1
        },
      }
      schedule.add(entry)
      now = 99.5
      schedule.start()
    })
    expect(intended).toEqual(Array.from({ length: 100 }, (_, i) => i))
  })

  test('an entry added while another fires is served in its turn', async () => {
    let now = 5
    const fired: string[] = []
    await new Promise<void>((resolve) => {
      const schedule = new Schedule(() => now)
      const late: Entry = {
        dueMs: 1,
        fire() {
          fired.push('added')
          late.dueMs = Number.POSITIVE_INFINITY
          resolve()
        },
      }
      const first: Entry = {
        dueMs: 4,
        fire() {
          fired.push('first')
          schedule.add(late)
          first.dueMs = Number.POSITIVE_INFINITY
          now += 1
        },
      }
      schedule.add(first)
      schedule.start()
    })
    expect(fired).toEqual(['first', 'added'])
  })
})
