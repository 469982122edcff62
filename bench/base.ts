/** Another revision of this repository, checked out beside it for `--base REV`. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Checkout } from './peers/mqtide.ts'

export interface BaseCheckout extends Checkout {
  remove(): void
}

/** Makes a detached worktree of `revision` in a temporary folder. Throws when there is no such revision or `npm ci` fails. */
export function checkOutBase(repository: string, revision: string): BaseCheckout {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: repository, encoding: 'utf8' })
  const commit = git('rev-parse', '--verify', '--quiet', '--short=9', `${revision}^{commit}`)
  if (commit.status !== 0) throw new Error(`--base ${revision}: no such revision`)
  const parent = mkdtempSync(join(tmpdir(), 'mqtide-base-'))
  const folder = join(parent, 'checkout')
  const remove = (): void => {
    git('worktree', 'remove', '--force', folder)
    rmSync(parent, { recursive: true, force: true })
    git('worktree', 'prune')
  }
  const added = git('worktree', 'add', '--detach', folder, commit.stdout.trim())
  if (added.status !== 0) {
    remove()
    throw new Error(`--base ${revision}: ${added.stderr.trim()}`)
  }
  try {
    bringDependencies(repository, folder)
  } catch (error) {
    remove()
    throw error
  }
  return { folder, name: `base ${revision}`, version: commit.stdout.trim(), remove }
}

/** The dependencies of this checkout serve where the lockfile is the same; otherwise they are installed. */
function bringDependencies(repository: string, folder: string): void {
  const lock = (root: string): string => readFileSync(join(root, 'package-lock.json'), 'utf8')
  if (lock(repository) === lock(folder)) {
    symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'))
    return
  }
  const installed = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, encoding: 'utf8' })
  if (installed.status !== 0)
    throw new Error(`npm ci in the base's checkout failed: ${installed.stderr.trim().slice(-400)}`)
}
