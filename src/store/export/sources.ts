/** What can be imported, told by its first bytes. */
import { closeSync, openSync, readSync } from 'node:fs'
import { importMosquitto, type MosquittoOptions } from '../mosquitto/mosquitto-import.ts'
import { isPersistenceFile } from '../mosquitto/persistence-file.ts'
import { importLines } from './line-import.ts'
import { type ImportSource, SourceFault } from './store-import.ts'

/** An export of ours, or the database of Mosquitto. */
export function sourceOf(options: MosquittoOptions): ImportSource {
  return (file, target) => {
    const beginning = beginningOf(file)
    if (isPersistenceFile(beginning)) return importMosquitto(file, target, options)
    if (beginning.toString('latin1').startsWith('SQLite format 3')) {
      throw new SourceFault(
        'it is a database: `mqtide restore` puts a backup in place, `mqtide export --from` makes lines of it',
      )
    }
    if (options.ownedByUsers)
      throw new SourceFault('an export says whose each session is: --owners is for mosquitto.db')
    return importLines(file, target)
  }
}

function beginningOf(file: string): Buffer {
  const descriptor = openSync(file, 'r')
  try {
    const bytes = Buffer.alloc(16)
    return bytes.subarray(0, readSync(descriptor, bytes))
  } finally {
    closeSync(descriptor)
  }
}
