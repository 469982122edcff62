/** Commands about bridges: what they are connected to, what waits for them, and to make, remove and connect them anew. */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { parseConfigText } from '../config/file.ts'
import { ApiClient, type ApiFlags, inPath, withApiOptions } from './api-client.ts'
import { addList, type ListFlags, withOwner, writeFields, writeJson } from './api-output.ts'
import type { CliContext } from './context.ts'
import { type Row, writeTable } from './table.ts'

interface BridgeRow extends Row {
  topics: Row[]
  lastFailure: Row | null
}

interface OwnerFlags extends ApiFlags {
  namespace?: string
}

const columns = ['namespace', 'name', 'state', 'url', 'waiting', 'inflight', 'sent', 'received', 'attempts']

export function registerBridges(program: Command, context: CliContext): void {
  const bridges = program.command('bridges').description('bridges to other brokers: list, show, add, restart, remove')
  addList(bridges.command('list').description('list them'), context, { path: '/bridges', columns })
  registerShow(bridges, context)
  registerAdd(bridges, context)
  registerChange(bridges, context)
}

function registerShow(bridges: Command, context: CliContext): void {
  const show = bridges.command('show').description('show one, with its topics').argument('<name>')
  withOwner(withApiOptions(show)).action(async (name: string, flags: ListFlags) => {
    const query = { namespace: flags.namespace }
    const bridge = await new ApiClient(flags, context).call<BridgeRow>(`/bridges/${inPath(name)}`, { query })
    if (flags.json) {
      writeJson(context, bridge)
      return
    }
    const { topics, lastFailure, ...fields } = bridge
    writeFields(context, { ...fields, lastFailure: lastFailure === null ? '' : lastFailure['text'] })
    writeTable(context, ['filter', 'direction', 'qos', 'localPrefix', 'remotePrefix', 'except'], topics)
  })
}

function registerAdd(bridges: Command, context: CliContext): void {
  const add = bridges
    .command('add')
    .description('make one that no configuration names, or change it')
    .argument('<name>')
    .argument('<file>', 'its options as YAML or JSON, as under bridges.NAME in a configuration')
  withOwner(withApiOptions(add)).action(async (name: string, file: string, flags: OwnerFlags) => {
    const { options } = parseConfigText(readFileSync(file, 'utf8'), file)
    const body = { ...options, name, ...(flags.namespace !== undefined && { namespace: flags.namespace }) }
    const bridge = await new ApiClient(flags, context).call<Row>('/bridges', { method: 'POST', body })
    if (flags.json) writeJson(context, bridge)
    else context.stdout.write(`${name} is there: mqtide bridges show ${name}\n`)
  })
}

function registerChange(bridges: Command, context: CliContext): void {
  const restart = bridges.command('restart').description('connect one anew; what waits stays').argument('<name>')
  withOwner(withApiOptions(restart)).action(async (name: string, flags: OwnerFlags) => {
    const call = { method: 'POST', query: { namespace: flags.namespace } } as const
    await new ApiClient(flags, context).call(`/bridges/${inPath(name)}/restart`, call)
  })
  const remove = bridges
    .command('remove')
    .description('remove one that no configuration names, with what waits for it')
    .argument('<name>')
  withOwner(withApiOptions(remove)).action(async (name: string, flags: OwnerFlags) => {
    const call = { method: 'DELETE', query: { namespace: flags.namespace } } as const
    await new ApiClient(flags, context).call(`/bridges/${inPath(name)}`, call)
  })
}
