/**
 * What package-lock.json must say so that `npm ci` works on every machine that has any Node from 20 on.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

interface Lock {
  packages: Record<string, { gypfile?: boolean; resolved?: string; hasInstallScript?: boolean }>
}

const text = readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')
const { packages } = JSON.parse(text) as Lock

describe('package-lock.json', () => {
  it('keeps npm 10 from compiling better-sqlite3, whose binaries come with the package', () => {
    // The package has a binding.gyp and no install script, which npm 10 takes as a request for node-gyp.
    const entry = packages['node_modules/better-sqlite3']
    expect(entry?.gypfile, 'npm install drops this line: put `"gypfile": false` back into the entry').toBe(false)
  })

  it('names no registry, so that each machine uses its own', () => {
    expect(Object.values(packages).flatMap(({ resolved }) => resolved ?? [])).toEqual([])
    expect(text).not.toMatch(/https?:\/\/[^"]*\.tgz/)
  })

  it('runs the install script of `node` alone', () => {
    const scripted = Object.keys(packages).filter((name) => packages[name]?.hasInstallScript)
    expect(scripted).toEqual(['node_modules/node'])
  })
})
