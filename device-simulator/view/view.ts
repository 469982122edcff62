/** The live view: a panel that is drawn anew each second on a terminal, one JSON line per second elsewhere. */
import type { WriteStream } from 'node:tty'
import type { RunState } from '../run.ts'
import { formatCount, formatDuration } from '../units.ts'

export interface View {
  show(state: RunState): void
  note(text: string): void
  end(): void
}

export function createView(stream: NodeJS.WriteStream): View {
  return stream.isTTY ? new Panel(stream) : new JsonLines(stream)
}

/** JSON lines also on a terminal. */
export function createJsonView(stream: NodeJS.WriteStream): View {
  return new JsonLines(stream)
}

class JsonLines implements View {
  readonly #stream: NodeJS.WriteStream

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  show({ second, devices, tally }: RunState): void {
    const { duplicatesSeen, outOfOrderSeen, corruptedSeen, misroutedSeen } = tally.counters
    const line = {
      ...second,
      devices,
      sent: tally.counters.sent,
      received: tally.counters.received,
      duplicatesSeen,
      outOfOrderSeen,
      corruptedSeen,
      misroutedSeen,
    }
    this.#stream.write(`${JSON.stringify(line)}\n`)
  }

  note(text: string): void {
    this.#stream.write(`${JSON.stringify({ note: text })}\n`)
  }

  end(): void {}
}

const historyLength = 40
const bars = '▁▂▃▄▅▆▇█'

export function sparkline(values: readonly number[]): string {
  const most = Math.max(1, ...values)
  return values.map((value) => bars[Math.min(7, Math.floor((value / most) * 7.999))]).join('')
}

class Panel implements View {
  readonly #stream: WriteStream
  readonly #sent: number[] = []
  readonly #p99: number[] = []
  #drawnLines = 0

  constructor(stream: WriteStream) {
    this.#stream = stream
  }

  show(state: RunState): void {
    push(this.#sent, state.second.sentPerSecond)
    push(this.#p99, state.second.p99)
    const lines = panelLines(state, this.#sent, this.#p99, Math.max(40, this.#stream.columns ?? 80))
    this.#clear()
    this.#stream.write(`${lines.join('\n')}\n`)
    this.#drawnLines = lines.length
  }

  note(text: string): void {
    this.#clear()
    this.#stream.write(`${text}\n`)
  }

  end(): void {
    this.#drawnLines = 0
  }

  #clear(): void {
    if (this.#drawnLines > 0) this.#stream.write(`\x1b[${this.#drawnLines}A\x1b[0J`)
    this.#drawnLines = 0
  }
}

function push(history: number[], value: number): void {
  history.push(value)
  if (history.length > historyLength) history.shift()
}

export function panelLines(
  { name, stage, stageShare, stagesLeft, second, tally, devices }: RunState,
  sent: readonly number[],
  p99: readonly number[],
  columns: number,
): string[] {
  const width = Math.max(10, Math.min(30, columns - 50))
  const full = Math.round(stageShare * width)
  const progress = `${'█'.repeat(full)}${'░'.repeat(width - full)}`
  const { counters, latency } = tally
  const found = counters.duplicatesSeen + counters.outOfOrderSeen + counters.corruptedSeen + counters.misroutedSeen
  const seen =
    found === 0
      ? 'nothing out of place'
      : `${counters.duplicatesSeen} duplicates, ${counters.outOfOrderSeen} out of order, ` +
        `${counters.corruptedSeen} corrupted, ${counters.misroutedSeen} misrouted`
  const figures = latency.endToEnd.figures()
  const measured =
    figures.count === 0
      ? 'not measured yet'
      : `p50 ${formatDuration(figures.p50)}  p99 ${formatDuration(figures.p99)}  max ${formatDuration(figures.max)}`
  return [
    `${name}  ${second.seconds.toFixed(0)} s`,
    `stage    ${stage.padEnd(12)} ${progress} ${stagesLeft} to come`,
    `faults   ${second.faults.join(', ') || 'none'}`,
    `devices  ${formatCount(second.online)} of ${formatCount(devices)} online, ${formatCount(counters.disconnects)} breaks, ${formatCount(counters.connectFailures)} failed connects`,
    `sent     ${formatCount(second.sentPerSecond)}/s  ${formatCount(counters.sent)} in all  ${sparkline(sent)}`,
    `received ${formatCount(second.receivedPerSecond)}/s  ${formatCount(counters.received)} in all, ${formatCount(second.pending)} unacknowledged`,
    `latency  ${measured}  ${sparkline(p99)}`,
    `verdict  ${seen} so far`,
  ].map((line) => (line.length > columns ? line.slice(0, columns) : line))
}
