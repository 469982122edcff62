/** Traces that go to files in a folder of the data folder: by name, for so long, of so many bytes; the last ones that ended are remembered. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Trace } from './trace.ts'
import { TraceFile } from './trace-file.ts'
import type { Tracer } from './tracer.ts'
import type { FileTraces as Files, FileTraceView, TraceAsked, TraceLimits } from './views.ts'

const rememberedMax = 32

interface FileTrace {
  readonly name: string
  readonly file: TraceFile
  readonly trace: Trace
  readonly endsAt: number
  readonly timer: NodeJS.Timeout
  ended: string
}

export interface FileTracesWorld {
  now(): number
  /** The disk has no room for anything that can be done without. */
  isDiskFull(): boolean
  onEnded(name: string, because: string): void
}

export class FileTraces implements Files {
  readonly #tracer: Tracer
  readonly #folder: string
  readonly #world: FileTracesWorld
  readonly #traces = new Map<string, FileTrace>()

  constructor(tracer: Tracer, folder: string, world: FileTracesWorld) {
    this.#tracer = tracer
    this.#folder = folder
    this.#world = world
  }

  list(): FileTraceView[] {
    return [...this.#traces.values()].map(viewOf)
  }

  async begin(
    name: string,
    asked: TraceAsked,
    { seconds, bytesMax }: TraceLimits,
  ): Promise<FileTraceView | 'exists' | 'too-many' | 'disk-full'> {
    if (this.#world.isDiskFull()) return 'disk-full'
    const file = await this.#create(name, bytesMax)
    if (file === null) return 'exists'
    const target = {
      write: (line: object) => {
        if (!this.#world.isDiskFull()) return file.write(line)
        setImmediate(() => this.#end(name, 'disk_full'))
        return false
      },
      end: () => file.end(),
    }
    const trace = this.#tracer.begin(asked, target)
    if (trace === null) {
      file.end()
      return 'too-many'
    }
    const timer = setTimeout(() => this.#end(name, 'time'), seconds * 1000)
    timer.unref()
    const begun = { name, file, trace, timer, endsAt: this.#world.now() + seconds * 1000, ended: '' }
    this.#forgetOldest()
    this.#traces.set(name, begun)
    return viewOf(begun)
  }

  /** False: there is none of this name, or it is over already. */
  async end(name: string): Promise<boolean> {
    const known = this.#traces.get(name)
    if (known === undefined || !this.#end(name, 'asked')) return false
    await known.file.closed()
    return true
  }

  async close(): Promise<void> {
    for (const { name } of [...this.#traces.values()]) this.#end(name, 'closed')
    await Promise.all([...this.#traces.values()].map(({ file }) => file.closed()))
  }

  /** Null: there is one. */
  async #create(name: string, bytesMax: number): Promise<TraceFile | null> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    try {
      return await TraceFile.create(join(this.#folder, `${name}.jsonl`), bytesMax, () =>
        this.#end(name, 'write_failed'),
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null
      throw error
    }
  }

  #end(name: string, because: string): boolean {
    const known = this.#traces.get(name)
    if (known === undefined || known.ended !== '') return false
    known.ended = because
    clearTimeout(known.timer)
    this.#tracer.end(known.trace)
    this.#world.onEnded(name, because)
    return true
  }

  #forgetOldest(): void {
    for (const [name, { ended }] of this.#traces) {
      if (this.#traces.size < rememberedMax) return
      if (ended !== '') this.#traces.delete(name)
    }
  }
}

function viewOf({ name, file, trace, ended, endsAt }: FileTrace): FileTraceView {
  const { lines, leftOut, asked } = trace
  return { name, file: file.path, asked, ended, endsAt, lines, leftOut, bytes: file.bytes }
}
