/**
 * What is wrong in a file of users or rules, with its line. Every fault of a file is found in one reading, and a file with a
 * fault changes nothing: whoever reads it keeps what was in force.
 */
export interface FileFault {
  file: string
  /** From 1; 0: the file as a whole. */
  line: number
  message: string
}

/** Faults that are told; a file of another kind would otherwise be a message of its own length. */
const faultsShownMax = 20

export class AccessFileError extends Error {
  readonly faults: readonly FileFault[]

  constructor(faults: readonly FileFault[]) {
    const shown = faults.slice(0, faultsShownMax).map(lineOf)
    if (faults.length > shown.length) shown.push(`and ${faults.length - shown.length} more`)
    super(shown.join('\n'))
    this.name = 'AccessFileError'
    this.faults = faults
  }
}

function lineOf({ file, line, message }: FileFault): string {
  return line === 0 ? `${file}: ${message}` : `${file}:${line}: ${message}`
}
