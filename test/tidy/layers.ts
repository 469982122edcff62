/**
 * Which part of the house may import which: the dependency rule as data.
 *
 * A file belongs to the longest prefix that matches its path. What a rule doesn't list is forbidden. Files of one folder
 * may import each other. `types` are allowed with `import type` only, since those leave no trace at run time.
 */
export interface Layer {
  /** Path prefix of the files it binds. */
  of: string
  imports: readonly string[]
  types?: readonly string[]
  /** True where no `node:` module and no package may be imported, not even as types. */
  pure?: true
}

const everything = ['']

/** The ports: what the engine asks of an adapter. They know the broker's words and nothing else. */
export const ports = ['src/store/store.ts', 'src/auth/authenticator.ts']

export const layers: readonly Layer[] = [
  { of: 'src/mqtt/', imports: [], pure: true },
  { of: 'src/json/', imports: ['src/mqtt/'], pure: true },
  { of: 'src/core/', imports: ['src/mqtt/', 'src/json/'], pure: true },
  ...ports.map((of): Layer => ({ of, imports: ['src/mqtt/'], types: ['src/core/'] })),
  // The store's port in bytes: what the engine packs and every store reads.
  {
    of: 'src/store/batch.ts',
    imports: ['src/store/packing.ts', 'src/store/records/'],
    types: ['src/mqtt/', 'src/store/store.ts'],
  },
  { of: 'src/engine/', imports: ['src/core/', 'src/mqtt/', 'src/json/', 'src/store/batch.ts', ...ports] },
  {
    of: 'src/listeners/',
    imports: ['src/mqtt/', 'src/engine/connection.ts', 'src/engine/json-wire.ts', 'src/engine/event-wire.ts'],
    types: [
      'src/engine/byte-stream.ts',
      'src/engine/room.ts',
      'src/config/tls.ts',
      'src/core/ports/peer.ts',
      'src/engine/engine.ts',
      'src/config/listeners.ts',
      'src/http/host-check.ts',
    ],
  },
  // The store's worker gives its thread's memory back.
  { of: 'src/store/', imports: ['src/mqtt/', 'src/store/store.ts', 'src/process/'] },
  { of: 'src/process/', imports: [] },
  {
    of: 'src/auth/',
    imports: ['src/mqtt/', 'src/core/address.ts', 'src/core/ports/authority.ts', 'src/auth/authenticator.ts'],
    types: ['src/core/ports/'],
  },
  {
    of: 'src/http/',
    imports: ['src/mqtt/', 'src/engine/connection.ts'],
    types: ['src/listeners/event-stream.ts', 'src/listeners/identify.ts'],
  },
  // It meets the broker through the views of the inspection port, and everything else as functions it is given.
  {
    of: 'src/api/',
    imports: [
      'src/mqtt/',
      'src/json/',
      'src/auth/wildcard.ts',
      'src/core/logs/stream-definition.ts',
      'src/core/logs/stream-start.ts',
    ],
    types: ['src/core/ports/', 'src/trace/views.ts', 'src/bridges/view.ts'],
  },
  // It looks on where the engine lets it, and writes what it saw.
  { of: 'src/trace/', imports: ['src/mqtt/'], types: ['src/engine/tap.ts'] },
  // The page in the browser: the API's answers are typed by the schemas that they are made by.
  { of: 'src/dashboard/', imports: [], types: ['src/api/schemas.ts'] },
  // Metrics, $SYS and the log put names to what the core counts, at the level that the configuration gives.
  { of: 'src/observe/', imports: ['src/mqtt/'], types: ['src/core/', 'src/config/schema.ts', 'src/bridges/view.ts'] },
  // Defaults, strategies and levels are said once, by who lives by them; the configuration gives them words and bounds.
  {
    of: 'src/config/',
    imports: [
      'src/mqtt/',
      'src/bridges/settings.ts',
      'src/bridges/overlap.ts',
      'src/core/options.ts',
      'src/core/subscriptions/shared-group.ts',
      'src/core/logs/address.ts',
      'src/core/logs/definition.ts',
      'src/core/rewrite/',
      'src/core/logs/stream-definition.ts',
      'src/core/logs/stream-start.ts',
      'src/store/store.ts',
      // The schema checks rules in the words of those who judge by them.
      'src/auth/rule.ts',
      'src/auth/hook-forms.ts',
      'src/auth/certificate-step.ts',
      'src/schedules/cron.ts',
      'src/telemetry/span-kinds.ts',
    ],
    types: [...ports, 'src/auth/access-files.ts', 'src/core/publish/export.ts', 'src/engine/hooks.ts'],
  },
  // A client of other brokers, and of our own like any other: it meets the core as packets.
  { of: 'src/bridges/', imports: ['src/mqtt/'], types: ['src/core/ports/'] },
  // What runs in browsers: nothing of the gateway, nothing of Node. React is the peer of one file.
  { of: 'src/client/', imports: [] },
  // What programs import that work on queues: it knows of the gateway what its public interface and MQTT say.
  { of: 'src/tasks/', imports: [] },
  // Spans of what the hooks tell.
  { of: 'src/telemetry/', imports: ['src/mqtt/'], types: ['src/engine/hooks.ts'] },
  // What the configuration says of when, as delayed messages of the core.
  { of: 'src/schedules/', imports: ['src/core/', 'src/mqtt/'], types: ['src/config/schedules.ts'] },
  { of: 'src/compose', imports: ['src/'] },
  { of: 'src/world.ts', imports: [], types: ['src/engine/clock.ts', 'src/store/store.ts'] },
  { of: 'src/gateway.ts', imports: ['src/'] },
  // A gateway without listeners, under the names of another library.
  {
    of: 'src/aedes/',
    imports: [
      'src/compose.ts',
      'src/gateway.ts',
      'src/config/schema.ts',
      'src/core/',
      'src/engine/',
      'src/mqtt/',
      'src/observe/version.ts',
    ],
    types: ['src/json/packets.ts', 'src/store/store.ts'],
  },
  // Backup, restore and check work on a data directory, passwd and explain on files of users and rules, without a gateway.
  {
    of: 'src/cli/',
    imports: [
      'src/gateway.ts',
      'src/core/rewrite/',
      'src/config/',
      'src/observe/',
      'src/store/',
      'src/auth/',
      'src/mqtt/',
      'src/process/',
      'src/listeners/certificate',
    ],
  },
  { of: 'src/main.ts', imports: ['src/gateway.ts', 'src/cli/', 'src/config/', 'src/observe/'] },
  { of: 'device-simulator/', imports: ['src/mqtt/'] },
  { of: 'device-simulator/test/', imports: everything },
  { of: 'test/', imports: everything },
  { of: 'bench/', imports: everything },
  { of: 'scripts/', imports: everything },
]

/** Nobody but these may import the gateway or the composition root: what imports them imports every adapter. */
export const gatewayUsers = [
  'src/main.ts',
  'src/cli/',
  'src/aedes/',
  'test/',
  'device-simulator/test/',
  'bench/',
  'scripts/',
]

export function layerOf(path: string): Layer | undefined {
  return layers.filter(({ of }) => path.startsWith(of)).sort((a, b) => b.of.length - a.of.length)[0]
}

/** Why `path` may not import what it imports, or undefined where it may. */
export function importFault(
  path: string,
  { specifier, target, typeOnly }: { specifier: string; target: string | undefined; typeOnly: boolean },
): string | undefined {
  const layer = layerOf(path)
  if (!layer)
    return `no rule in test/tidy/layers.ts says what files of ${path.split('/').slice(0, 2).join('/')} may import`
  if (target === undefined) {
    return layer.pure ? `${layer.of} is pure: it takes \`${specifier}\`'s result as an argument instead` : undefined
  }
  const composes = target === 'src/gateway.ts' || (target === 'src/compose.ts' && path !== 'src/gateway.ts')
  if (composes && !gatewayUsers.some((user) => path.startsWith(user))) {
    return 'only main, the commands and tests build a gateway; take what you need as an argument'
  }
  const folder = path.slice(0, path.lastIndexOf('/') + 1)
  const allowed = [...layer.imports, ...(typeOnly ? (layer.types ?? []) : [])]
  const sameFolder = target.startsWith(folder) && folder !== 'src/' && layer.of !== path
  if (sameFolder || target.startsWith(layer.of) || allowed.some((prefix) => target.startsWith(prefix))) return undefined
  if (layer.types?.some((prefix) => target.startsWith(prefix)))
    return `${target} may be imported with \`import type\` only`
  return `${layer.of} may import ${layer.imports.join(', ') || 'nothing'}, not ${target}`
}
