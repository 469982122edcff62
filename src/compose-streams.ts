/** The part of the composition root that gives the HTTP API the streams: each call within a turn, each answer when it is committed. */
import type { ApiStreams } from './api/sources.ts'
import type { GatewayConfig } from './config/schema.ts'
import { streamsOf } from './config/streams.ts'
import type { StreamName, StreamPart, Streams } from './core/ports/streams.ts'
import type { Committer } from './engine/committer.ts'
import type { Engine } from './engine/engine.ts'

interface Parts {
  streams: Streams
  engine: Engine
  committer: Committer
}

export function composeApiStreams(inForce: { readonly config: GatewayConfig }, parts: Parts): ApiStreams {
  const { streams, engine, committer } = parts
  const committed = async <Done>(change: () => Done): Promise<Done> => {
    const done = engine.call(change)
    await committer.settled()
    return done
  }
  return {
    list: () => streams.list(),
    state: (stream) => streams.state(stream),
    groups: (stream) => streams.groups(stream),
    readers: (stream) => streams.readers(stream),
    options: (stream) => optionsOf(inForce.config, stream, streams.state(stream)?.filter),
    read: (stream, query) =>
      new Promise<StreamPart | undefined>((resolve) => {
        if (!engine.call(() => streams.read(stream, query, resolve))) resolve(undefined)
      }),
    trim: async (stream, before) => (await committed(() => streams.trim(stream, before))) ?? undefined,
    moveCursor: (stream, group, to) => committed(() => streams.moveCursor(stream, group, to)),
    deleteCursor: (stream, group) => committed(() => streams.deleteCursor(stream, group)),
  }
}

/** With the filter in force, which a reload does not change. */
function optionsOf(config: GatewayConfig, { namespace, name }: StreamName, filter: string | undefined) {
  const found = streamsOf(config).find((one) => one.namespace === namespace && one.name === name)
  return found === undefined ? undefined : { ...found.definition, filter: filter ?? found.definition.filter }
}
