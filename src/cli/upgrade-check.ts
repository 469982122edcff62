/** `mqtide upgrade-check`: what the first start of this version would change in a store, tried on a copy. */
import { tmpdir } from 'node:os'
import type { Command } from 'commander'
import { version } from '../observe/version.ts'
import type { UpgradeReport } from '../store/rehearsal.ts'
import { type CliContext, CliError } from './context.ts'
import { type DirectoryFlags, dataDirOf, withStoreErrors } from './store-directory.ts'

interface Flags extends DirectoryFlags {
  scratch: string
  json?: boolean
}

export function registerUpgradeCheck(program: Command, context: CliContext): void {
  program
    .command('upgrade-check')
    .description(
      'say what the first start of this version would change in the database; tried on a copy, also while the gateway runs',
    )
    .option('--config <file>', 'configuration file that names the folder of the database (MQTIDE_CONFIG)')
    .option('--data-dir <folder>', 'folder of the database (default ./data)')
    .option('--scratch <folder>', 'where the copy is made, with room for three times the database', tmpdir())
    .option('--json', 'print the report as JSON')
    .action(async (flags: Flags) => {
      const { rehearseUpgrade } = await import('../store/rehearsal.ts')
      const dataDir = dataDirOf(flags, context)
      const report = withStoreErrors(() => rehearseUpgrade(dataDir, flags.scratch))
      context.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : described(report))
      if (hasFaults(report)) throw new CliError('the copy has faults: see `mqtide check-store`, and do not upgrade yet')
    })
}

function hasFaults({ checked: { findings, disagreements } }: UpgradeReport): boolean {
  return findings.length > 0 || Object.values(disagreements).some((count) => count > 0)
}

function described(report: UpgradeReport): string {
  const { path, bytes, schemaVersion, wantedVersion, changes, checked, milliseconds } = report
  const first = `${path}: ${bytes} bytes, schema version ${schemaVersion}; mqtide ${version} has ${wantedVersion}`
  const found = [
    ...checked.findings.map((finding) => `  damaged: ${finding}`),
    ...Object.entries(checked.disagreements).flatMap(([what, count]) => (count > 0 ? [`  ${count} ${what}`] : [])),
  ]
  if (schemaVersion === wantedVersion) return `${[first, '  nothing would change', ...found].join('\n')}\n`
  const lines = [
    first,
    ...changes.map((change) => `  ${change}`),
    `  tried on a copy: ${milliseconds} ms${found.length === 0 ? ', no faults' : ''}`,
    ...found,
    '  An older mqtide can not open it afterwards: make a backup before (mqtide backup FILE).',
  ]
  return `${lines.join('\n')}\n`
}
