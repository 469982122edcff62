/** What the bench knows of a broker: how to find it, with which settings to start it, and what it can do. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { WorkQueueEndpoint } from '../generator/work-queues.ts'

/** What a scenario may need. */
export type Capability =
  | 'websocket'
  | 'tls'
  | 'qos2'
  | 'mqtt5'
  | 'shared'
  | 'retained'
  /** 100,000 durable sessions can be made within minutes. */
  | 'many-sessions'
  | 'password'
  | 'acl'
  | 'queues'
  /** MQTT clients may be away from them, and come back. */
  | 'mqtt-queues'
  /** A hundred queues that get nothing. */
  | 'idle-queues'
  | 'streams'
  | 'json-websocket'

/**
 * - memory: the fastest fair settings; nothing has to survive
 * - default: what the broker does for durable sessions as it comes
 * - safest: the safest settings its documentation names
 */
export type Settings = 'memory' | 'default' | 'safest'

export interface Ports {
  mqtt: number
  /** WebSocket or HTTP. */
  http: number
  tls: number
  /** For what else a broker must bind. */
  spare: number
  /** The protocol in which its queues are consumed, where that is not MQTT. */
  queue: number
}

/** Where one start of a broker lives. */
export interface Place {
  /** Fresh and empty for each start; kept between the two starts of a restart scenario. */
  folder: string
  ports: Ports
  /** Certificate and key in PEM, when the scenario needs TLS. */
  certificate?: { certificateFile: string; keyFile: string }
  /** Users and rules in Mosquitto's forms, when the scenario needs them. */
  access?: { passwordFile: string; aclFile: string }
  /** The filter of each queue that the scenario needs, by name. */
  queues?: Readonly<Record<string, string>>
  /** The same of each stream. */
  streams?: Readonly<Record<string, string>>
}

export interface Command {
  program: string
  args: readonly string[]
  env?: Readonly<Record<string, string>>
  folder?: string
}

export interface Broker {
  /** As in `--peers`. */
  name: string
  /** Column head, with settings where there are several. */
  label: string
  version: string
  settings: Settings
  capabilities: ReadonlySet<Capability>
  /** Why it lacks a capability, in a few words, where the capability's name alone would not say. */
  lacks?: Readonly<Partial<Record<Capability, string>>>
  /** Durable sessions are on disk with the memory settings too, so those have no column in durable scenarios. */
  alwaysDurable?: boolean
  /** HTTP path of metrics that the bench reads. */
  metricsPath?: string
  /**
   * Its first start makes files that cost seconds: that start is made once, and every run begins with a copy of them. Rows
   * that only vary others are left out for it when everything runs, because the later starts take seconds as well.
   */
  startsSlowly?: boolean
  /** It writes something at its end that is wanted, such as a profile, and is given time for it. */
  writesAtEnd?: boolean
  /** The settings in words or as the configuration file has them; quoted in the results. */
  configuration: string
  webSocketPath: string
  /** How its queues are consumed; absent: by MQTT. */
  workQueue?(place: Place): WorkQueueEndpoint
  /** Writes configuration files into the place's folder and returns how to start. */
  command(place: Place): Command
}

export interface Peer {
  name: string
  /** What to do when the program is missing. */
  install: string
  /** All settings this peer has, for the program at `path` or found on PATH; none when it isn't there. */
  brokers(path: string | undefined): Broker[]
}

/** Debian puts daemons into /usr/sbin, which PATH may omit. */
export function findProgram(name: string, pathVariable: string | undefined): string | undefined {
  for (const folder of [...(pathVariable ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']) {
    if (folder !== '' && isExecutable(join(folder, name))) return join(folder, name)
  }
  return undefined
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Replaces ${name} in a configuration template. Throws on a name without a value. */
export function fillTemplate(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`no value for \${${name}} in a broker's configuration`)
    return String(value)
  })
}
