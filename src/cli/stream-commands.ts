/** Commands about streams: what is in them, read from a place on, shortened, and how far their readers are. */
import type { Command } from 'commander'
import { ApiClient, type ApiFlags, inPath, withApiOptions } from './api-client.ts'
import { addList, type ListFlags, withLimit, withOwner, writeFields, writeJson, writeRows } from './api-output.ts'
import type { CliContext } from './context.ts'
import { type Row, writeTable } from './table.ts'

interface StreamRow extends Row {
  groupList: Row[]
  readerList: Row[]
  totals: Row
  options: Row | null
}

interface MessageRow extends Row {
  message: Row
}

interface CursorFlags extends ApiFlags {
  namespace?: string
  group: string
  filter?: string
  to?: string
}

const places = 'earliest, latest, offset:N, a time such as 2026-11-22T08:00:00Z, or -1h'
const groupColumns = ['group', 'filter', 'cursor', 'lag', 'inflight', 'members']
const readerColumns = ['clientId', 'connected', 'group', 'filter', 'cursor', 'lag', 'inflight', 'stored']

export function registerStreams(program: Command, context: CliContext): void {
  const streams = program.command('streams').description('streams: list, show, read, trim, cursors')
  const columns = [
    'namespace',
    'name',
    'messages',
    'bytes',
    'firstOffset',
    'nextOffset',
    'oldestAt',
    'readers',
    'groups',
    'declared',
    'filter',
  ]
  addList(streams.command('list').description('list them'), context, { path: '/streams', columns })
  registerShow(streams, context)
  registerRead(streams, context)
  registerTrim(streams, context)
  registerCursors(streams, context)
}

function registerShow(streams: Command, context: CliContext): void {
  const show = streams.command('show').description('show one, with its groups and readers').argument('<name>')
  withOwner(withApiOptions(show)).action(async (name: string, flags: ListFlags) => {
    const stream = await found(name, flags, context)
    if (flags.json) {
      writeJson(context, stream)
      return
    }
    const { groupList, readerList, totals, options, ...state } = stream
    writeFields(context, { ...state, ...totals })
    if (groupList.length > 0) writeTable(context, groupColumns, groupList)
    if (readerList.length > 0) writeTable(context, readerColumns, readerList)
  })
}

function found(name: string, flags: ListFlags, context: CliContext): Promise<StreamRow> {
  const query = { namespace: flags.namespace }
  return new ApiClient(flags, context).call<StreamRow>(`/streams/${inPath(name)}`, { query })
}

function registerRead(streams: Command, context: CliContext): void {
  const read = streams
    .command('read')
    .description('show messages of one from a place on; nothing changes')
    .argument('<name>')
    .option('--from <place>', places, 'earliest')
    .option('--filter <filter>', 'only messages of topics that this filter matches')
  withOwner(withLimit(read)).action(async (name: string, flags: ListFlags & { from: string }) => {
    const path = `/streams/${inPath(name)}/messages`
    const query = { namespace: flags.namespace, from: flags.from, filter: flags.filter }
    const { rows, more } = await new ApiClient(flags, context).list<MessageRow>(path, query, flags.limit)
    const flat = rows.map(({ message, ...row }) => ({ ...row, ...message }))
    const columns = ['offset', 'at', 'topic', 'payloadBytes', 'payload']
    writeRows(context, flags, { rows: flags.json ? rows : flat, more, columns })
  })
}

function registerTrim(streams: Command, context: CliContext): void {
  const trim = streams
    .command('trim')
    .description('drop the messages of one before a place, for good')
    .argument('<name>')
    .requiredOption('--before <place>', `${places}; latest drops everything`)
  withOwner(withApiOptions(trim)).action(async (name: string, flags: ListFlags & { before: string }) => {
    const call = { method: 'POST', query: { namespace: flags.namespace }, body: { before: flags.before } } as const
    const path = `/streams/${inPath(name)}/trim`
    const answer = await new ApiClient(flags, context).call<{ trimmed: number }>(path, call)
    if (flags.json) writeJson(context, answer)
    else context.stdout.write(`${answer.trimmed} dropped\n`)
  })
}

function registerCursors(streams: Command, context: CliContext): void {
  const cursors = streams.command('cursors').description('how far groups and readers are: list, move, delete')
  const list = cursors.command('list').description('list those of a stream').argument('<name>')
  withOwner(withApiOptions(list)).action(async (name: string, flags: ListFlags) => {
    const { groupList, readerList } = await found(name, flags, context)
    // A member has its group's.
    const own = readerList.filter(({ group }) => group === null)
    const columns = ['group', 'clientId', 'filter', 'cursor', 'lag', 'inflight']
    writeRows(context, flags, { rows: [...groupList, ...own], more: false, columns })
  })
  const move = cursors.command('move').description('let a group go on from another place, or begin there')
  withGroup(move)
    .requiredOption('--to <place>', places)
    .action(async (name: string, { group, filter, to, ...flags }: CursorFlags) => {
      const body = { group, to, ...(filter !== undefined && { filter }) }
      const call = { method: 'PUT', query: { namespace: flags.namespace }, body } as const
      const cursor = await new ApiClient(flags, context).call<Row>(`/streams/${inPath(name)}/cursors`, call)
      if (flags.json) writeJson(context, cursor)
      else writeTable(context, groupColumns, [cursor])
    })
  const remove = cursors.command('delete').description('forget how far a group has come that has no members')
  withGroup(remove).action(async (name: string, { group, filter, ...flags }: CursorFlags) => {
    const call = { method: 'DELETE', query: { group, filter, namespace: flags.namespace } } as const
    await new ApiClient(flags, context).call(`/streams/${inPath(name)}/cursors`, call)
    context.stdout.write('deleted\n')
  })
}

function withGroup(command: Command): Command {
  const named = command
    .argument('<name>')
    .requiredOption('--group <name>', 'of this group')
    .option('--filter <filter>', 'of the subscriptions with this filter behind the name of the stream')
  return withOwner(withApiOptions(named))
}
