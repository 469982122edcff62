/** Commands about queues: what is in them, dropped from them, and dead letters given back. */
import { type Command, InvalidArgumentError } from 'commander'
import { ApiClient, type ApiFlags, inPath, withApiOptions } from './api-client.ts'
import { addList, type ListFlags, withLimit, withOwner, writeFields, writeJson, writeRows } from './api-output.ts'
import type { CliContext } from './context.ts'
import { type Row, writeTable } from './table.ts'

interface MessageRow extends Row {
  deadLetter: Row | null
  message: Row
}

interface QueueRow extends Row {
  consumerList: Row[]
  totals: Row
  options: Row | null
}

interface ChangeFlags extends ApiFlags {
  filter?: string
  max?: number
  namespace?: string
}

export function registerQueues(program: Command, context: CliContext): void {
  const queues = program.command('queues').description('queues: list, show, peek, purge, redrive')
  const columns = [
    'namespace',
    'name',
    'ready',
    'leased',
    'waiting',
    'bytes',
    'oldestAt',
    'consumers',
    'declared',
    'filter',
  ]
  addList(queues.command('list').description('list them'), context, { path: '/queues', columns })
  registerShow(queues, context)
  registerPeek(queues, context)
  registerPurge(queues, context)
  registerRedrive(queues, context)
}

function registerShow(queues: Command, context: CliContext): void {
  const show = queues.command('show').description('show one, with its consumers').argument('<name>')
  withOwner(withApiOptions(show)).action(async (name: string, flags: ListFlags) => {
    const query = { namespace: flags.namespace }
    const queue = await new ApiClient(flags, context).call<QueueRow>(`/queues/${inPath(name)}`, { query })
    if (flags.json) {
      writeJson(context, queue)
      return
    }
    const { consumerList, totals, options, ...state } = queue
    writeFields(context, { ...state, ...totals })
    if (consumerList.length > 0) {
      writeTable(context, ['clientId', 'connected', 'prefetch', 'leased', 'paused'], consumerList)
    }
  })
}

function registerPeek(queues: Command, context: CliContext): void {
  const peek = queues.command('peek').description('show what is in one, in order; nothing changes').argument('<name>')
  withOwner(withLimit(peek)).action(async (name: string, flags: ListFlags) => {
    const path = `/queues/${inPath(name)}/messages`
    const query = { namespace: flags.namespace }
    const { rows, more } = await new ApiClient(flags, context).list<MessageRow>(path, query, flags.limit)
    const flat = rows.map(({ message, deadLetter, ...row }) => ({ ...row, ...message, ...deadLetter }))
    const columns = ['state', 'attempt', 'priority', 'topic', 'publishedAt', 'payloadBytes', 'payload']
    const isDead = rows.some(({ deadLetter }) => deadLetter !== null)
    const why = isDead ? ['queue', 'reason', 'attempts', 'text'] : []
    writeRows(context, flags, { rows: flags.json ? rows : flat, more, columns: [...columns, ...why] })
  })
}

function registerPurge(queues: Command, context: CliContext): void {
  const purge = queues.command('purge').description('drop what is in one and not with a consumer').argument('<name>')
  purge.option('--filter <filter>', 'only messages of topics that this filter matches')
  withOwner(withApiOptions(purge)).action(async (name: string, flags: ChangeFlags) => {
    const query = { filter: flags.filter, namespace: flags.namespace }
    const call = { method: 'DELETE', query } as const
    const path = `/queues/${inPath(name)}/messages`
    const answer = await new ApiClient(flags, context).call<{ purged: number }>(path, call)
    if (flags.json) writeJson(context, answer)
    else context.stdout.write(`${answer.purged} dropped\n`)
  })
}

function registerRedrive(queues: Command, context: CliContext): void {
  const redrive = queues
    .command('redrive')
    .description('give dead letters back to the queue that they came from')
    .argument('<name>', 'queue of dead letters, such as orders.dead')
    .option('--max <messages>', 'so many at most, the oldest first', messageCount, 1000)
    .option('--filter <filter>', 'only messages of topics that this filter matches')
  withOwner(withApiOptions(redrive)).action(async (name: string, flags: ChangeFlags) => {
    const body = { max: flags.max, ...(flags.filter !== undefined && { filter: flags.filter }) }
    const call = { method: 'POST', query: { namespace: flags.namespace }, body } as const
    const path = `/queues/${inPath(name)}/redrive`
    const answer = await new ApiClient(flags, context).call<{ redriven: number }>(path, call)
    if (flags.json) writeJson(context, answer)
    else context.stdout.write(`${answer.redriven} redriven\n`)
  })
}

function messageCount(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text) && Number(text) <= 1_000_000) return Number(text)
  throw new InvalidArgumentError('Expected a number of messages from 1 to 1000000.')
}
