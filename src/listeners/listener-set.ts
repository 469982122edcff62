/**
 * The listeners that there are, and how they become others while the gateway runs.
 *
 * A change is prepared first: the servers that are new are made, and those with an address of their own are bound. Where one of them
 * can't be, all of that is undone and nothing has changed. Then, in one step, new servers take the addresses of those they replace
 * (nobody is refused meanwhile), and what is not wanted any more is closed.
 *
 * Clients stay connected as long as a listener of their listener's name and kind is at the same address, whatever else is said of it;
 * other settings hold for those who come from then on.
 */
import type { Room, RoomLimits } from '../engine/room.ts'
import type { Listener, ListenerSettings } from './listener.ts'

/** What the configuration wants of one listener. */
export interface WantedListener extends Pick<ListenerSettings, 'name' | 'kind' | 'host' | 'port' | 'path'> {
  /** Changes with everything that a server is made of. */
  recipe: string
  limits: RoomLimits
  /** @throws ConfigError for files that can't be used */
  make(room: Room): Listener
  makeRoom(): Room
}

/** Names of listeners. */
export interface ListenerChanges {
  added: string[]
  renewed: string[]
  removed: string[]
}

/** Prepared, and to be finished by one of the two. */
export interface PreparedChange {
  /** Returns the names, and the listeners that have gone, whose clients are to be disconnected. */
  commit(): { changes: ListenerChanges; gone: readonly Listener[] }
  undo(): Promise<void>
}

interface Held {
  wanted: WantedListener
  listener: Listener
}

interface Step extends Held {
  /** Whose address it takes; undefined: it binds one. */
  from: Held | undefined
  /** Whether it is that one, unchanged. */
  kept: boolean
}

export class ListenerSet {
  #held: readonly Held[]

  /** Makes the servers; none is bound yet. */
  constructor(wanted: readonly WantedListener[]) {
    this.#held = wanted.map((one) => ({ wanted: one, listener: one.make(one.makeRoom()) }))
  }

  /** In the order of the configuration. */
  get all(): readonly Listener[] {
    return this.#held.map(({ listener }) => listener)
  }

  /** @throws ListenError */
  async bind(): Promise<void> {
    for (const { listener } of this.#held) await listener.bind()
  }

  /** @throws ConfigError, ListenError; nothing has changed then */
  async prepare(wanted: readonly WantedListener[]): Promise<PreparedChange> {
    const steps = wanted.map((one) => this.#stepTo(one))
    const bound: Listener[] = []
    const released: Listener[] = []
    const undo = async (): Promise<void> => {
      for (const listener of bound) {
        void listener.close()
        for (const guest of listener.settings.room.guests) guest.destroy()
      }
      for (const listener of released) await listener.bind()
    }
    const leaving = this.#held.filter((held) => !steps.some(({ from }) => from === held))
    try {
      for (const { listener, from } of steps) {
        if (from !== undefined) continue
        // The system gives an address once only: also not beside one that stands for all of a machine's.
        const inTheWay = leaving.map((held) => held.listener).filter((one) => one.isListening && meet(one, listener))
        for (const one of inTheWay) {
          one.release()
          released.push(one)
        }
        await listener.bind()
        bound.push(listener)
      }
    } catch (error) {
      await undo()
      throw error
    }
    return { commit: () => this.#commit(steps), undo }
  }

  #stepTo(wanted: WantedListener): Step {
    const from = this.#held.find((held) => held.listener.isListening && isSamePlace(held.wanted, wanted))
    if (from === undefined) return { wanted, listener: wanted.make(wanted.makeRoom()), from, kept: false }
    const { settings } = from.listener
    const isSame = wanted.name === settings.name && wanted.kind === settings.kind
    if (isSame && wanted.recipe === from.wanted.recipe) return { wanted, listener: from.listener, from, kept: true }
    return { wanted, listener: wanted.make(isSame ? settings.room : wanted.makeRoom()), from, kept: false }
  }

  #commit(steps: readonly Step[]): { changes: ListenerChanges; gone: readonly Listener[] } {
    const before = this.#held
    for (const { listener, from, kept, wanted } of steps) {
      listener.settings.room.limits = wanted.limits
      if (from !== undefined && !kept) listener.takeOver(from.listener)
    }
    this.#held = steps
    const rooms = new Set(steps.map(({ listener }) => listener.settings.room))
    const names = new Set(before.map(({ wanted }) => wanted.name))
    const stay = new Set(steps.map(({ wanted }) => wanted.name))
    for (const { listener } of before) if (!this.all.includes(listener)) void listener.close()
    return {
      changes: {
        added: [...stay].filter((name) => !names.has(name)),
        renewed: steps.filter(({ kept, wanted }) => !kept && names.has(wanted.name)).map(({ wanted }) => wanted.name),
        removed: [...names].filter((name) => !stay.has(name)),
      },
      gone: before.map(({ listener }) => listener).filter(({ settings }) => !rooms.has(settings.room)),
    }
  }

  close(): Promise<void>[] {
    return this.#held.map(({ listener }) => listener.close())
  }
}

/** Port 0 is another port each time: the same name means the same one. */
function isSamePlace(one: WantedListener, other: WantedListener): boolean {
  const place = one.host === other.host && one.port === other.port && one.path === other.path
  return place && (one.port !== 0 || one.path !== undefined || one.name === other.name)
}

function meet({ settings, address }: Listener, { settings: other }: Listener): boolean {
  if (settings.path !== undefined || other.path !== undefined) return settings.path === other.path
  return address?.port === other.port
}
