/**
 * `npm run peers`: which programs of other projects the tests will meet on this machine, and how to get the others.
 *
 * Exits with 1 where one is missing. Tests don't need this: they skip what they can't run and say so in their name.
 */
import { type PeerProgram, peer, peerPackages } from '../test/peers.ts'

const programs = Object.keys(peerPackages) as PeerProgram[]
const width = Math.max(...programs.map((program) => program.length))
for (const program of programs) console.log(`${program.padEnd(width)}  ${peer(program) ?? 'missing'}`)

const missing = [...new Set(programs.filter((program) => !peer(program)).map((program) => peerPackages[program]))]
if (missing.length > 0) {
  console.log(`\nTo have them all: apt-get install ${missing.join(' ')}`)
  process.exitCode = 1
}
