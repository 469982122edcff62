/**
 * Faults at work on the devices of one part of the swarm. A preset is a set of primitives; a primitive is either a state
 * (a shape of the link, a clock) that holds while the fault lasts, or events that befall each device at gaps of its own.
 */
import type { Context } from '../context.ts'
import type { Device } from '../device.ts'
import { Random } from '../random.ts'
import type { FaultSpec } from '../scenario/fault-schema.ts'
import type { Entry } from '../schedule.ts'

export interface FaultCounts {
  /** Times that it befell a device. */
  events: number
  /** Of attempts with an expected answer: as expected, and not. */
  asExpected: number
  unexpected: number
}

export interface Disturbance {
  counts: FaultCounts
  stop(): void
}

type Stop = () => void

interface Scene {
  context: Context
  devices: readonly Device[]
  id: number
  counts: FaultCounts
}

/** Faults that others carry out: strangers beside the swarm, and the runner, who owns the broker. */
export function isForDevices(spec: FaultSpec): boolean {
  return !['wrong-credentials', 'malformed', 'oversize', 'broker-restart'].includes(spec.type)
}

export function needsLink(spec: FaultSpec): boolean {
  return (
    isForDevices(spec) &&
    !['duplicate-sender', 'clock-skew', 'brown-out', 'reconnect-storm', 'socket-death'].includes(spec.type)
  )
}

export function startDisturbance(context: Context, all: readonly Device[], spec: FaultSpec, id: number): Disturbance {
  const counts: FaultCounts = { events: 0, asExpected: 0, unexpected: 0 }
  const devices = all.filter((device) => {
    if (spec.groups !== undefined && !spec.groups.includes(device.group.name)) return false
    if (spec.groups === undefined && device.group.spec.publications.length === 0 && spec.type !== 'slow-reader')
      return false
    return spec.fraction >= 1 || new Random(context.identity.seed, ['fault', id, device.number]).next() < spec.fraction
  })
  const stops = begin(spec, { context, devices, id, counts })
  return {
    counts,
    stop() {
      for (const stop of stops) stop()
    },
  }
}

function begin(spec: FaultSpec, scene: Scene): Stop[] {
  switch (spec.type) {
    case 'flaky-wifi': {
      const { intensity } = spec
      return [
        shape(scene, { delayMs: 5, jitterMs: 30 * intensity }),
        events(scene, 10_000 / intensity, (device, random) => die(scene, device, random.uniform(200, 2000))),
      ]
    }
    case 'cellular-tunnel': {
      const { intensity } = spec
      return [
        shape(scene, { delayMs: 80, jitterMs: 60 * intensity, upRate: 32_000, downRate: 64_000 }),
        events(scene, 20_000 / intensity, (device, random) => tunnel(scene, device, random.uniform(2000, 8000))),
      ]
    }
    case 'brown-out':
      return once(scene, (device) => die(scene, device, spec.down))
    case 'reconnect-storm':
      return once(scene, (device, random) => die(scene, device, spec.spread * random.next()))
    case 'socket-death':
      return [events(scene, spec.every, (device) => die(scene, device, spec.down))]
    case 'half-open':
      return [events(scene, spec.every, (device) => halfOpen(scene, device, spec.hold))]
    case 'keepalive-stall':
      return [events(scene, spec.every, (device) => stall(scene, device, spec.hold))]
    case 'takeover':
      return [events(scene, spec.every, (device) => takeOver(scene, device))]
    case 'flapping':
      return [flap(scene, spec.up, spec.down)]
    default:
      return beginState(spec, scene)
  }
}

function beginState(spec: FaultSpec, scene: Scene): Stop[] {
  switch (spec.type) {
    case 'delay':
      return [shape(scene, { delayMs: spec.delay, jitterMs: spec.jitter })]
    case 'jitter':
      return [shape(scene, { jitterMs: spec.jitter })]
    case 'bandwidth':
      return [shape(scene, { upRate: spec.up ?? 0, downRate: spec.down ?? 0 })]
    case 'slow-reader':
      return [shape(scene, { downRate: spec.rate })]
    case 'duplicate-sender':
      return [
        state(
          scene,
          (device) => {
            device.repeatProbability = spec.probability
          },
          (device) => {
            device.repeatProbability = 0
          },
        ),
      ]
    case 'clock-skew':
      return [
        state(
          scene,
          (device) => device.setClock(spec.offset * 1000, spec.drift * 1000),
          (device) => device.setClock(0, 0),
        ),
      ]
    default:
      return []
  }
}

interface PartialShape {
  delayMs?: number
  jitterMs?: number
  upRate?: number
  downRate?: number
}

function state(scene: Scene, set: (device: Device) => void, unset: (device: Device) => void): Stop {
  scene.counts.events += scene.devices.length
  for (const device of scene.devices) set(device)
  return () => {
    for (const device of scene.devices) unset(device)
  }
}

function shape(scene: Scene, part: PartialShape): Stop {
  const full = { delayMs: 0, jitterMs: 0, upRate: 0, downRate: 0, ...part }
  return state(
    scene,
    (device) => device.setShape(scene.id, full),
    (device) => device.setShape(scene.id, undefined),
  )
}

function once({ context, devices, id }: Scene, act: (device: Device, random: Random) => void): Stop[] {
  for (const device of devices) act(device, new Random(context.identity.seed, ['fault', id, device.number, 'once']))
  return []
}

/** At exponential gaps with the given mean, for each device from a stream of its own. */
function events({ context, devices, id }: Scene, meanMs: number, act: (device: Device, random: Random) => void): Stop {
  let isStopped = false
  for (const device of devices) {
    const random = new Random(context.identity.seed, ['fault', id, device.number, 'events'])
    const entry: Entry = {
      dueMs: context.now() + random.exponential(meanMs),
      fire() {
        if (isStopped) {
          entry.dueMs = Number.POSITIVE_INFINITY
          return
        }
        entry.dueMs += random.exponential(meanMs)
        act(device, random)
      },
    }
    context.schedule.add(entry)
  }
  return () => {
    isStopped = true
  }
}

function die({ counts }: Scene, device: Device, downMs: number): void {
  if (!device.online) return
  counts.events += 1
  device.die(downMs)
}

/** Out of reach for a while; when the signal is back, what was on the way arrives. */
function tunnel({ counts }: Scene, device: Device, holdMs: number): void {
  if (!device.online) return
  counts.events += 1
  device.hold(true, true)
  setTimeout(() => device.release(), holdMs)
}

/** Out of reach until the device itself gives the connection up. */
function halfOpen({ counts }: Scene, device: Device, holdMs: number): void {
  if (!device.online) return
  counts.events += 1
  device.hold(true, true)
  setTimeout(() => device.die(0), holdMs)
}

/** The device hangs: it sends nothing, no PINGREQ either; the broker should end the connection at 1.5 x keep alive. */
function stall({ counts }: Scene, device: Device, holdMs: number): void {
  if (!device.online) return
  counts.events += 1
  device.hold(true, false)
  setTimeout(() => device.release(), holdMs)
}

function takeOver({ counts }: Scene, device: Device): void {
  if (!device.online) return
  counts.events += 1
  device.takeOver((closedByBroker) => {
    if (closedByBroker) counts.asExpected += 1
    else counts.unexpected += 1
  })
}

function flap(scene: Scene, upMs: number, downMs: number): Stop {
  let isStopped = false
  const { context, devices, id } = scene
  for (const device of devices) {
    const random = new Random(context.identity.seed, ['fault', id, device.number, 'flap'])
    const entry: Entry = {
      dueMs: context.now() + random.next() * upMs,
      fire() {
        if (isStopped) {
          entry.dueMs = Number.POSITIVE_INFINITY
          return
        }
        entry.dueMs += upMs + downMs
        die(scene, device, downMs)
      },
    }
    context.schedule.add(entry)
  }
  return () => {
    isStopped = true
  }
}
