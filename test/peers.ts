/**
 * The programs of other projects that tests meet: brokers, command-line clients and a browser, all from Debian's packages.
 *
 * A test whose peer is missing is skipped and its name says what to install; with `MQTIDE_REQUIRE_PEERS=1` (as in CI) a
 * missing peer is a failure instead, so that a skip can't hide there.
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe } from 'vitest'

/** Program -> Debian package that brings it. */
export const peerPackages = {
  mosquitto: 'mosquitto',
  mosquitto_pub: 'mosquitto-clients',
  mosquitto_sub: 'mosquitto-clients',
  mosquitto_rr: 'mosquitto-clients',
  mosquitto_passwd: 'mosquitto',
  'nats-server': 'nats-server',
  chromium: 'chromium',
  sqlite3: 'sqlite3',
  strace: 'strace',
  openssl: 'openssl',
  haproxy: 'haproxy',
  curl: 'curl',
  'systemd-notify': 'systemd',
  'systemd-analyze': 'systemd',
  perl: 'perl-base',
  prometheus: 'prometheus',
  promtool: 'prometheus',
} as const

export type PeerProgram = keyof typeof peerPackages

/** The program's path, or undefined where this machine lacks it. Debian puts daemons into /usr/sbin, which PATH may omit. */
export function peer(program: PeerProgram): string | undefined {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']) {
    const path = join(folder, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

/** `describe` for tests that need a peer; `body` gets the programs' paths. */
export function describePeer<P extends PeerProgram>(
  name: string,
  programs: readonly P[],
  body: (paths: Record<P, string>) => void,
): void {
  const missing = programs.filter((program) => peer(program) === undefined)
  if (missing.length === 0) {
    const paths = Object.fromEntries(programs.map((program) => [program, peer(program)])) as Record<P, string>
    describe(name, () => body(paths))
    return
  }
  const packages = [...new Set(missing.map((program) => peerPackages[program]))].join(' ')
  if (process.env['MQTIDE_REQUIRE_PEERS'] === '1') {
    throw new Error(`${name}: ${missing.join(', ')} missing; run: apt-get install ${packages}`)
  }
  describe.skip(`${name} (needs: apt-get install ${packages})`, () => body({} as Record<P, string>))
}
