/**
 * `mqtide/react`: live messages in React components.
 *
 *     const connection = connect('http://127.0.0.1:8083')          // once, outside the components
 *     <ConnectionProvider connection={connection}> … </ConnectionProvider>
 *     const message = useTopic('sensors/kitchen')                  // the last message, undefined before the first
 *
 * A component renders when what it shows has changed, and not for each message of a burst: changes are gathered for a
 * frame. What a hook subscribes it unsubscribes, also when effects run twice (StrictMode).
 */
import {
  createContext,
  createElement,
  type ReactNode,
  useCallback,
  useContext,
  useMemo,
  useSyncExternalStore,
} from 'react'
import type { Connection, MqtideError, PublishOptions, Qos, State } from './index.ts'
import type { Message } from './message.ts'

export interface ConnectionState {
  connection: Connection
  state: State
  /** Why it is not connected, as far as that is known. */
  error: MqtideError | undefined
}

export interface TopicsOptions {
  /** 0 */
  qos?: Qos
  /** Topics that are kept; beyond it those go that were silent for longest. 1,000 */
  topicsMax?: number
}

/** What `useSyncExternalStore` asks for. */
interface Store<Value> {
  subscribe(onChange: () => void): () => void
  get(): Value
}

const frameMs = 16
const Context = createContext<Connection | undefined>(undefined)

/** Gives a connection to all components below. It stays the program's: unmounting does not close it. */
export function ConnectionProvider({ connection, children }: { connection: Connection; children?: ReactNode }) {
  return createElement(Context.Provider, { value: connection }, children)
}

/** The connection, how it stands and why. */
export function useConnection(): ConnectionState {
  const connection = useOwnConnection()
  const store = useMemo(() => stateOf(connection), [connection])
  return useSyncExternalStore(store.subscribe, store.get, store.get)
}

/** The last message on a topic, or on any topic that a filter matches; undefined before the first. */
export function useTopic(filter: string, { qos = 0 }: { qos?: Qos } = {}): Message | undefined {
  const connection = useOwnConnection()
  const store = useMemo(() => lastMessage(connection, filter, qos), [connection, filter, qos])
  return useSyncExternalStore(store.subscribe, store.get, store.get)
}

/** The last message of each topic that a filter matches; a new map when one has changed. */
export function useTopics(
  filter: string,
  { qos = 0, topicsMax = 1000 }: TopicsOptions = {},
): ReadonlyMap<string, Message> {
  const connection = useOwnConnection()
  const store = useMemo(
    () => lastMessages(connection, filter, { qos, topicsMax }),
    [connection, filter, qos, topicsMax],
  )
  return useSyncExternalStore(store.subscribe, store.get, store.get)
}

/** A function that publishes, as `Connection.publish`; the same for the life of the connection. */
export function usePublish(): (topic: string, payload: unknown, options?: PublishOptions) => Promise<void> {
  const connection = useOwnConnection()
  return useCallback((topic, payload, options) => connection.publish(topic, payload, options), [connection])
}

function useOwnConnection(): Connection {
  const connection = useContext(Context)
  if (connection === undefined)
    throw new Error('put <ConnectionProvider connection={connect(…)}> around this component')
  return connection
}

function stateOf(connection: Connection): Store<ConnectionState> {
  let shown: ConnectionState = { connection, state: connection.state, error: connection.error }
  return {
    subscribe: (onChange) => connection.on('state', onChange),
    get: () => {
      const { state, error } = connection
      // The same object as long as nothing has changed, or React would render for ever.
      if (state !== shown.state || error !== shown.error) shown = { connection, state, error }
      return shown
    },
  }
}

function lastMessage(connection: Connection, filter: string, qos: Qos): Store<Message | undefined> {
  let last: Message | undefined
  return {
    subscribe: (onChange) => subscribe(connection, { filter, qos }, (message) => (last = message), onChange),
    get: () => last,
  }
}

function lastMessages(
  connection: Connection,
  filter: string,
  { qos, topicsMax }: Required<TopicsOptions>,
): Store<ReadonlyMap<string, Message>> {
  const current = new Map<string, Message>()
  let shown: ReadonlyMap<string, Message> = new Map()
  const take = (message: Message) => {
    // To the end: in front are those that were silent for longest.
    current.delete(message.topic)
    current.set(message.topic, message)
    if (current.size > topicsMax) current.delete(current.keys().next().value!)
  }
  const show = (onChange: () => void) => () => {
    shown = new Map(current)
    onChange()
  }
  return { subscribe: (onChange) => subscribe(connection, { filter, qos }, take, show(onChange)), get: () => shown }
}

/** Takes each message, and tells of the change once per frame. */
function subscribe(
  connection: Connection,
  { filter, qos }: { filter: string; qos: Qos },
  take: (message: Message) => void,
  onChange: () => void,
): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  const onMessage = (message: Message) => {
    take(message)
    timer ??= setTimeout(() => {
      timer = undefined
      onChange()
    }, frameMs)
  }
  const subscription = connection.subscribe(filter, onMessage, { qos })
  return () => {
    clearTimeout(timer)
    subscription.close()
  }
}
