/**
 * Commands that ask a gateway that runs, through its HTTP API: who is connected, what waits and is retained, and what an operator
 * does about it. Tables for people, `--json` for scripts.
 */
import type { Command } from 'commander'
import { logLevels } from '../config/schema.ts'
import { ApiClient, type ApiFlags, inPath, withApiOptions } from './api-client.ts'
import { addList, type ListFlags, withLimit, withOwner, writeJson, writeRows } from './api-output.ts'
import { registerBridges } from './bridge-commands.ts'
import type { CliContext } from './context.ts'
import { registerQueues } from './queue-commands.ts'
import { registerStreams } from './stream-commands.ts'
import { type Row, writeTable } from './table.ts'

const waiting = ['subscriptions', 'queuedMessages', 'inflightMessages', 'droppedMessages']

export function registerApiCommands(program: Command, context: CliContext): void {
  registerClients(program, context)
  registerSessions(program, context)
  registerRetained(program, context)
  registerQueues(program, context)
  registerStreams(program, context)
  registerBridges(program, context)
  registerDelayed(program, context)
  registerRouting(program, context)
  registerSettings(program, context)
}

function registerClients(program: Command, context: CliContext): void {
  const clients = program.command('clients').description('clients that are connected: list, show, disconnect')
  const columns = ['namespace', 'clientId', 'username', 'address', 'listener', 'connectedAt', ...waiting]
  addList(clients.command('list').description('list them'), context, { path: '/clients', columns })
  addShow(clients.command('show').description('show one'), context, '/clients')
  addDelete(clients.command('disconnect').description('disconnect one; its session stays'), context, '/clients')
}

function registerSessions(program: Command, context: CliContext): void {
  const sessions = program
    .command('sessions')
    .description('sessions, also of clients that are away: list, show, queue, delete')
  const columns = ['namespace', 'clientId', 'connected', 'username', 'expiresAt', ...waiting]
  addList(sessions.command('list').description('list them'), context, { path: '/sessions', columns })
  addShow(sessions.command('show').description('show one'), context, '/sessions')
  addDelete(
    sessions.command('delete').description('end one, with its subscriptions and its queue'),
    context,
    '/sessions',
  )
  const queue = sessions.command('queue').description('show what is in flight and what waits').argument('<client-id>')
  withOwner(withLimit(queue)).action(async (clientId: string, flags: ListFlags) => {
    const path = `/sessions/${inPath(clientId)}/queue`
    const { rows, more } = await new ApiClient(flags, context).list<QueuedRow>(
      path,
      { namespace: flags.namespace },
      flags.limit,
    )
    const shown = flags.json ? rows : rows.map(({ message, ...row }) => ({ ...row, ...message }))
    writeRows(context, flags, {
      rows: shown,
      more,
      columns: ['position', 'state', 'qos', 'topic', 'publishedAt', 'payloadBytes', 'payload'],
    })
  })
}

interface QueuedRow extends Row {
  message: Row | null
}

function registerRetained(program: Command, context: CliContext): void {
  const retained = program.command('retained').description('retained messages: list, get, delete')
  const columns = ['namespace', 'topic', 'qos', 'publishedAt', 'publisher', 'payloadBytes', 'payload']
  const list = retained.command('list').description('list those of topics that a filter matches (default #)')
  addTopicList(list, context, { path: '/retained', columns })
  const get = retained.command('get').description('write the payload of one to standard output').argument('<topic>')
  withOwner(withApiOptions(get)).action(async (topic: string, flags: ListFlags) => {
    const path = `/retained/${inPath(topic)}`
    const message = await new ApiClient(flags, context).call<Payload>(path, { query: { namespace: flags.namespace } })
    if (flags.json) writeJson(context, message)
    else context.stdout.write(Buffer.from(message.payload, message.payloadEncoding))
  })
  const remove = retained
    .command('delete')
    .description('delete those of topics that a filter matches')
    .argument('<filter>')
  withOwner(withApiOptions(remove)).action(async (filter: string, flags: ListFlags) => {
    const query = { filter, namespace: flags.namespace }
    const answer = await new ApiClient(flags, context).call<{ deleted: number }>('/retained', {
      method: 'DELETE',
      query,
    })
    if (flags.json) writeJson(context, answer)
    else context.stdout.write(`${answer.deleted} deleted\n`)
  })
}

function registerDelayed(program: Command, context: CliContext): void {
  const delayed = program.command('delayed').description('messages that wait until they are due: list, show, cancel')
  const columns = ['dueAt', 'id', 'namespace', 'topic', 'qos', 'scheduleId', 'publisher', 'payloadBytes', 'payload']
  const list = delayed.command('list').description('list them, the next one first')
  addTopicList(list, context, { path: '/delayed', columns })
  addShow(delayed.command('show').description('show one, whole'), context, '/delayed', '<id>')
  addDelete(delayed.command('cancel').description('take one back: it is not published'), context, '/delayed', '<id>')
}

interface Payload {
  payload: string
  payloadEncoding: 'utf8' | 'base64'
}

function registerRouting(program: Command, context: CliContext): void {
  const subscriptions = program.command('subscriptions').description('subscriptions of all sessions')
  addList(subscriptions, context, {
    path: '/subscriptions',
    columns: ['namespace', 'clientId', 'filter', 'qos', 'group'],
  })
  const topics = program.command('topics').description('topics that were published to lately')
  addList(topics, context, { path: '/topics', columns: ['namespace', 'topic', 'recipients', 'groups'] })
  const route = program.command('route').description('who would get a message of a topic').argument('<topic>')
  withOwner(withApiOptions(route)).action(async (topic: string, flags: ListFlags) => {
    const query = { topic, namespace: flags.namespace }
    const found = await new ApiClient(flags, context).call<{ recipients: Row[]; groups: Row[] }>('/routes', { query })
    if (flags.json) writeJson(context, found)
    else {
      writeTable(context, ['name', 'filter', 'qos', 'online'], found.recipients)
      if (found.groups.length > 0) writeTable(context, ['name', 'filter', 'strategy', 'members'], found.groups)
    }
  })
  const drops = program.command('drops').description('who lost messages, why and when, the latest first')
  addList(drops, context, {
    path: '/drops',
    columns: ['lastAt', 'namespace', 'clientId', 'reason', 'topicPrefix', 'count'],
  })
  const listeners = program.command('listeners').description('listeners and how many clients they have')
  withApiOptions(listeners).action(async (flags: ApiFlags) => {
    const { items } = await new ApiClient(flags, context).call<{ items: Row[] }>('/listeners')
    writeRows(context, flags, {
      rows: items,
      more: false,
      columns: ['name', 'kind', 'host', 'port', 'clients', 'handshakes'],
    })
  })
}

function registerSettings(program: Command, context: CliContext): void {
  const reload = program
    .command('reload')
    .description('have the configuration read again; with a fault, nothing changes')
  withApiOptions(reload).action(async (flags: ApiFlags) => {
    const result = await new ApiClient(flags, context).call<{ needRestart: string[]; warnings: unknown[] }>('/reload', {
      method: 'POST',
    })
    if (flags.json) writeJson(context, result)
    else {
      for (const warning of result.warnings) context.stderr.write(`mqtide: ${String(warning)}\n`)
      const rest = result.needRestart.length === 0 ? '' : `; after a restart: ${result.needRestart.join(', ')}`
      context.stdout.write(`in force${rest}\n`)
    }
  })
  const level = program
    .command('log-level')
    .description('show what is logged, or set it')
    .argument('[level]', logLevels.join(', '))
  withApiOptions(level).action(async (given: string | undefined, flags: ApiFlags) => {
    const set = given === undefined ? {} : ({ method: 'PUT', body: { level: given } } as const)
    const answer = await new ApiClient(flags, context).call<{ level: string }>('/log-level', set)
    if (flags.json) writeJson(context, answer)
    else context.stdout.write(`${answer.level}\n`)
  })
}

function addTopicList(
  command: Command,
  context: CliContext,
  { path, columns }: { path: string; columns: string[] },
): void {
  withOwner(withLimit(command.option('--filter <filter>', 'topic filter'))).action(async (flags: ListFlags) => {
    const query = { filter: flags.filter, namespace: flags.namespace }
    const found = await new ApiClient(flags, context).list<Row>(path, query, flags.limit)
    writeRows(context, flags, { ...found, columns })
  })
}

function addShow(command: Command, context: CliContext, path: string, argument = '<client-id>'): void {
  withOwner(withApiOptions(command.argument(argument))).action(async (clientId: string, flags: ListFlags) => {
    const query = { namespace: flags.namespace }
    const row = await new ApiClient(flags, context).call<Row>(`${path}/${inPath(clientId)}`, { query })
    if (flags.json) writeJson(context, row)
    else
      writeTable(
        context,
        ['field', 'value'],
        Object.entries(row).map(([field, value]) => ({ field, value })),
      )
  })
}

function addDelete(command: Command, context: CliContext, path: string, argument = '<client-id>'): void {
  withOwner(withApiOptions(command.argument(argument))).action(async (clientId: string, flags: ListFlags) => {
    const query = { namespace: flags.namespace }
    await new ApiClient(flags, context).call(`${path}/${inPath(clientId)}`, { method: 'DELETE', query })
  })
}
