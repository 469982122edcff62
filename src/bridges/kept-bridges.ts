/**
 * Bridges that were made through the API: a file of the data folder, readable by its owner alone since it holds passwords. It is
 * replaced as a whole, so that a crash leaves the old one or the new one. In memory they last as long as the process.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export interface KeptBridge {
  readonly namespace: string
  readonly name: string
  /** As they were given. */
  readonly options: Readonly<Record<string, unknown>>
}

export class KeptBridges {
  readonly #dataDir: string | undefined
  #bridges: readonly KeptBridge[]

  /** @throws Error for a file that is there and can't be read */
  constructor(dataDir: string | undefined) {
    this.#dataDir = dataDir
    this.#bridges = dataDir === undefined ? [] : read(join(dataDir, fileName))
  }

  get all(): readonly KeptBridge[] {
    return this.#bridges
  }

  has({ namespace, name }: Pick<KeptBridge, 'namespace' | 'name'>): boolean {
    return this.#bridges.some((one) => one.namespace === namespace && one.name === name)
  }

  put(bridge: KeptBridge): void {
    this.#write([...this.#without(bridge), bridge])
  }

  remove(bridge: Pick<KeptBridge, 'namespace' | 'name'>): void {
    this.#write(this.#without(bridge))
  }

  #without({ namespace, name }: Pick<KeptBridge, 'namespace' | 'name'>): KeptBridge[] {
    return this.#bridges.filter((one) => one.namespace !== namespace || one.name !== name)
  }

  #write(bridges: readonly KeptBridge[]): void {
    if (this.#dataDir !== undefined) replace(this.#dataDir, `${JSON.stringify({ bridges }, null, 2)}\n`)
    this.#bridges = bridges
  }
}

const fileName = 'bridges.json'

function read(path: string): readonly KeptBridge[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  try {
    const { bridges } = Object(JSON.parse(text)) as { bridges?: unknown }
    if (!Array.isArray(bridges) || !bridges.every(isKept)) throw new TypeError('there is no list of bridges')
    return bridges
  } catch (cause) {
    throw new Error(`${path}: not what the API wrote there: ${(cause as Error).message}`, { cause })
  }
}

function isKept(value: unknown): value is KeptBridge {
  const { namespace, name, options } = Object(value) as Partial<Record<keyof KeptBridge, unknown>>
  return typeof namespace === 'string' && typeof name === 'string' && typeof options === 'object' && options !== null
}

function replace(dataDir: string, text: string): void {
  mkdirSync(dataDir, { recursive: true })
  const path = join(dataDir, fileName)
  const fresh = `${path}.new`
  const file = openSync(fresh, 'w', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(fresh, path)
}
