/** `mqtide trace`: packets of a client, an address or a topic filter as they pass, on the terminal or into a file of the gateway. */
import type { Command } from 'commander'
import { ApiClient, type ApiFlags, inPath, withApiOptions } from './api-client.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'
import { printable, type Row, writeTable } from './table.ts'

interface TraceFlags extends ApiFlags {
  client?: string
  address?: string
  topic?: string
  namespace?: string
  payloadBytes?: string
  seconds?: string
  count?: string
  file?: string
  bytesMax?: string
}

interface Line {
  at: string
  event: string
  namespace: string
  clientId: string
  address: string
  packet?: string
  leftOut: number
  [field: string]: unknown
}

export function registerTrace(program: Command, context: CliContext): void {
  const trace = program
    .command('trace')
    .description('packets as they pass, decoded: show them, or write them to a file')
  const packets = trace
    .command('packets', { isDefault: true })
    .description('show packets, or have the gateway write them to a file')
    .option('--client <id>', 'of this client')
    .option('--address <address>', 'of clients of this address')
    .option('--topic <filter>', 'PUBLISH packets of topics that match')
    .option('--namespace <name>', 'of this namespace (default: of all)')
    .option('--payload-bytes <bytes>', "of each payload's beginning, at most 1024; 0: none (default 64)")
    .option('--seconds <seconds>', 'end after so long (default 600)')
    .option('--count <packets>', 'end after so many')
    .option('--file <name>', 'write to traces/NAME.jsonl in the data folder of the gateway')
    .option('--bytes-max <bytes>', 'with --file: of the file and the one before it together (default 16777216)')
  withApiOptions(packets).action((flags: TraceFlags) => showPackets(flags, context))
  const columns = ['name', 'ended', 'endsAt', 'lines', 'leftOut', 'bytes', 'clientId', 'address', 'filter', 'file']
  withApiOptions(trace.command('list').description('traces into files')).action(async (flags: ApiFlags) => {
    const { items } = await new ApiClient(flags, context).call<{ items: Row[] }>('/traces')
    if (flags.json) context.stdout.write(`${JSON.stringify(items, null, 2)}\n`)
    else writeTable(context, columns, items)
  })
  const end = trace.command('end').description('end a trace into a file').argument('<name>')
  withApiOptions(end).action((name: string, flags: ApiFlags) =>
    new ApiClient(flags, context).call<void>(`/traces/${inPath(name)}`, { method: 'DELETE' }),
  )
}

async function showPackets(flags: TraceFlags, context: CliContext): Promise<void> {
  const { client: clientId, address, topic: filter, namespace, payloadBytes, seconds, count, file, bytesMax } = flags
  if (clientId === undefined && address === undefined && filter === undefined) {
    throw new CliError('whose packets? Say --client, --address or --topic', ExitCode.usage)
  }
  const client = new ApiClient(flags, context)
  const about = { clientId, address, filter, namespace, payloadBytes }
  if (file !== undefined) {
    if (count !== undefined)
      throw new CliError('--count is not for files: --bytes-max and --seconds are', ExitCode.usage)
    const body = { ...about, name: file, seconds: numberOf(seconds), bytesMax: numberOf(bytesMax) }
    const begun = await client.call<{ file: string; endsAt: string }>('/traces', { method: 'POST', body })
    if (flags.json) context.stdout.write(`${JSON.stringify(begun)}\n`)
    else context.stdout.write(`${begun.file} until ${begun.endsAt}\n`)
    return
  }
  for await (const line of client.lines<Line>('/trace', { ...about, seconds, count })) {
    context.stdout.write(flags.json ? `${JSON.stringify(line)}\n` : textOf(line))
  }
}

const numberOf = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text))

const arrows: Readonly<Record<string, string>> = { received: '->', sent: '<-', fault: '!!', closed: '--' }

function textOf({ at, event, namespace, clientId, address, packet, leftOut, ...fields }: Line): string {
  const where = namespace === 'default' ? '' : `${namespace} `
  const lost = leftOut > 0 ? `(${leftOut} left out: too many at once)\n` : ''
  const shown = Object.entries(fields).map(([name, value]) => `${name}=${valueText(value)}`)
  const who = `${where}${clientId === '' ? address : clientId}`
  return `${lost}${printable(`${at.slice(11, 23)} ${who} ${arrows[event] ?? event} ${[packet ?? event, ...shown].join(' ')}`)}\n`
}

function valueText(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : JSON.stringify(value)
}
