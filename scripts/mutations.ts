/**
 * The faults that `npm run mutate` puts in, and the tests that have to notice. Each was made in earnest once, or nearly: a
 * promise given before it is kept, or something that is kept in memory and not stored.
 *
 * `from` stands in `file` exactly once (tested): a change of that line is a reason to look at its mutation again.
 */
export interface Mutation {
  /** What the changed program does. */
  name: string
  file: string
  from: string
  to: string
  /** Test files. */
  test: readonly string[]
  /** Only tests whose names contain this. */
  title?: string
}

export const mutations: readonly Mutation[] = [
  {
    name: 'PUBACK and all else leaves before its commit',
    file: 'src/engine/engine.ts',
    from: 'return ticket <= this.#commits.committed ||',
    to: 'return true ||',
    test: ['test/engine/durability-levels.test.ts'],
  },
  {
    name: 'retained changes of one topic coalesce across turns',
    file: 'src/engine/turn-journal.ts',
    from: '    this.#retained.clear()\n',
    to: '',
    test: ['test/simulation/torture.test.ts', 'test/core/journal.test.ts'],
  },
  {
    name: 'the end of a will is not stored',
    file: 'src/engine/turn-journal.ts',
    from: 'if (session.recorded) this.#append(({ writer }) => writer.willDelete(session.number))',
    to: '',
    test: ['test/core/restart.test.ts', 'test/core/shutdown.test.ts', 'test/simulation/torture.test.ts'],
  },
  {
    name: 'a body that is handed over is not stored again',
    file: 'src/core/session/hand-over.ts',
    from: 'enqueue(this.#broker, destination, { ...next, message: republished(message) })',
    to: 'enqueue(this.#broker, destination, next)',
    test: ['test/core/bodies.test.ts', 'test/core/hand-over.test.ts'],
  },
  {
    name: 'PUBCOMP of a recipient is not stored',
    file: 'src/engine/turn-journal.ts',
    from: '({ writer }) => (released ? writer.complete(number, position) : writer.dequeue(number, position)),',
    to: '({ writer }) => (released ? undefined : writer.dequeue(number, position)),',
    test: ['test/core/restart.test.ts', 'test/core/journal.test.ts', 'test/simulation/torture.test.ts'],
  },
  {
    name: 'a page skips its rest',
    file: 'src/core/session/queue-pages.ts',
    from: '  if (page.more) return\n',
    to: '',
    test: ['test/core/restart.test.ts'],
  },
  {
    name: 'a commit at fsync is made without one',
    file: 'src/store/sqlite-database.ts',
    from: "this.#begin(durability === 'fsync' ? 'FULL' : 'NORMAL')",
    to: "this.#begin('NORMAL')",
    test: ['test/store/crash.test.ts'],
  },
  {
    name: 'the packet identifier of a QoS 2 PUBLISH is not stored',
    file: 'src/core/publish/receive.ts',
    from: '  if (accepted && session.stored) journal.incoming(session, packetId)\n',
    to: '',
    test: ['test/core/restart.test.ts'],
  },
  {
    name: 'PUBREC of a recipient is not stored',
    file: 'src/engine/turn-journal.ts',
    from: 'this.#append(({ writer }) => writer.release(number, position))',
    to: 'void number, position',
    test: ['test/core/restart.test.ts', 'test/core/journal.test.ts'],
  },
  {
    name: 'PUBREL of a publisher is not stored',
    file: 'src/engine/turn-journal.ts',
    from: 'this.#append(({ writer }) => writer.incomingDelete(session.number, packetId))',
    to: 'void session, packetId',
    test: ['test/core/journal.test.ts', 'test/core/restart.test.ts', 'test/simulation/torture.test.ts'],
  },
  {
    name: 'the grant is not asked when what waited is sent',
    file: 'src/core/publish/deliver.ts',
    from: 'return grant.mayReceive(message!.name, qos, retain, group === null ? null : group.name, delivery)',
    to: 'return grant !== null || message === null || qos < 0 || retain || group !== null',
    test: ['test/core/grants.test.ts'],
  },
  {
    name: 'keep alive and expiry run on the clock of the system',
    file: 'src/engine/clock.ts',
    from: 'now: () => Math.floor(startedAt + performance.now()),',
    to: 'now: () => Date.now(),',
    test: ['test/engine/clock.test.ts'],
  },
  {
    name: 'how far was sent is not stored',
    file: 'src/engine/turn-journal.ts',
    from: 'this.#append(({ writer }) => writer.sent(number, own.end), false)',
    to: 'void number, own',
    test: ['test/core/sent.test.ts'],
  },
  {
    name: 'a QoS 2 delivery leaves before it is known as sent',
    file: 'src/core/publish/deliver.ts',
    from: 'if (delivery.qos !== 2 || delivery.ticket === ticket) continue',
    to: 'if (delivery.qos !== 1 || delivery.ticket === ticket) continue',
    test: ['test/core/sent.test.ts'],
  },
  {
    name: 'a message that moves to another member is not stored there',
    file: 'src/engine/turn-journal.ts',
    from: 'this.#append(({ writer }) => writer.move(from.number, fromPosition, reference))',
    to: 'this.#append(({ writer }) => writer.dequeue(from.number, fromPosition + 0 * reference.position))',
    test: ['test/core/hand-over.test.ts'],
  },
  {
    name: 'a message that moves leaves its old reference elided, and its turn counts as committed',
    file: 'src/engine/turn-journal.ts',
    from: '    if (old !== null) old.record = -1\n    to.delivery.ticket',
    to: '    if (old !== null) this.dequeue(from, fromPosition, old)\n    to.delivery.ticket',
    test: ['test/core/hand-over.test.ts'],
  },
  {
    name: 'UNSUBSCRIBE is not stored',
    file: 'src/engine/turn-journal.ts',
    from: 'this.#append(({ writer }) => writer.subscriptionDelete(session.number, filter))',
    to: 'void session, filter',
    test: ['test/core/journal.test.ts', 'test/core/restart.test.ts', 'test/simulation/torture.test.ts'],
  },
  {
    name: 'the removal of a retained message is not stored',
    file: 'src/engine/turn-journal.ts',
    from: 'this.#append(({ writer }) => writer.retainedDelete(topic, version, namespace))',
    to: 'void [version, namespace]',
    test: ['test/core/journal.test.ts', 'test/core/restart.test.ts', 'test/simulation/torture.test.ts'],
  },
  {
    name: 'an older retained change replaces a newer one in the store',
    file: 'src/store/records/retained.ts',
    from: 'if (previous !== undefined && previous[1] >= version) {',
    to: 'if (previous !== undefined && previous[1] > version + 1e15) {',
    test: ['test/store/contract.test.ts'],
  },
  {
    name: 'what expired keeps a queue full',
    file: 'src/core/session/full-queue.ts',
    from: 'if (delivery === null || delivery.dup || delivery.state !== DeliveryState.waiting) continue\n    const { expiresAt } = delivery.message!\n    if (expiresAt > broker.now) {',
    to: 'if (delivery === null || delivery.dup || delivery.state !== DeliveryState.waiting) continue\n    const { expiresAt } = delivery.message!\n    if (expiresAt > 0) {',
    test: ['test/core/sent.test.ts', 'test/simulation/torture.test.ts'],
  },
  {
    name: 'CONNACK does not wait for the end of its last session',
    file: 'src/core/connection/accept.ts',
    from: 'broker.endings.ticketOf(client.namespace, session.clientId)',
    to: '0',
    test: ['test/core/restart.test.ts'],
  },
  {
    name: 'what an earlier process kept of a share group that was left is not looked for',
    file: 'src/core/session/left-groups.ts',
    from: 'return stored && queue.residentEnd < queue.recoveredEnd && namespace.index.sharedCount > 0',
    to: 'return stored && queue.residentEnd < queue.recoveredEnd && namespace.index.sharedCount < 0',
    test: ['test/core/left-groups.test.ts'],
  },
  {
    name: 'the room that the log needs in the database does not count as taken',
    file: 'src/store/sqlite-database.ts',
    from: 'this.#room.look(this.#unusedBytes() - this.#growthBytes(), performance.now())',
    to: 'this.#room.look(this.#unusedBytes(), performance.now())',
    test: ['test/store/disk-room.test.ts'],
  },
  {
    name: 'a job that is settled together with its results is elided, so that its publisher is told before they are stored',
    file: 'src/core/publish/bundle.ts',
    from: '  for (const queued of leased) queued.record = -1\n',
    to: '',
    test: ['test/core/bundles.test.ts'],
  },
  {
    name: 'messages of a bundle are judged one by one, not together',
    file: 'src/core/publish/bundle-room.ts',
    from: '    load.messages += messages\n',
    to: '',
    test: ['test/core/bundles.test.ts'],
  },
  {
    name: 'a duplicate is acknowledged before the message is stored',
    file: 'src/core/logs/queue.ts',
    from: '      seen.repeat(message)\n',
    to: '',
    test: ['test/core/duplicates.test.ts'],
  },
  {
    name: 'how far a publisher has counted is stored with an earlier turn',
    file: 'src/core/logs/seen.ts',
    from: 'before.ticket === journal.ticket',
    to: 'before.ticket > journal.committed',
    test: ['test/core/duplicates.test.ts'],
  },
]

/** How often the text that a mutation replaces is found. */
export function occurrences(text: string, { from }: Pick<Mutation, 'from'>): number {
  return text.split(from).length - 1
}
