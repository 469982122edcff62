/**
 * A program around the broker that wants to be asked, or told. Without one, `Broker.hooks` is null, and a PUBLISH begins as allowed
 * (`Broker.firstVerdict`), so that nothing of this is looked at for a message.
 *
 * No method throws or waits. `incoming` is called before anything is routed, and may publish; the others only note what happened: whoever
 * is behind them hears of it when the core has returned.
 */
import type { ConnectPacket } from '../../mqtt/packet.ts'
import type { Client } from '../connection/client.ts'
import type { Message } from '../publish/message.ts'
import type { Session } from '../session/session.ts'

/** A message as its publisher sent it, and as it goes on. */
export interface Incoming {
  readonly message: Message
  readonly retain: boolean
}

/** Null: it goes on as it is. A number: refused, with this reason code. */
export type HookAnswer = Incoming | number | null

/** `expired`: its time was over. `disconnected`: it ended with its connection. `replaced`: by a clean start. `deleted`: by an operator. */
export type SessionEnd = 'expired' | 'disconnected' | 'replaced' | 'deleted'

export interface Hooks {
  /** A message of this session's client, which nothing speaks against. `isWill`: left behind by it. */
  incoming(session: Session, incoming: Incoming, isWill: boolean): HookAnswer
  connected(client: Client, packet: ConnectPacket, sessionPresent: boolean): void
  sessionEnded(session: Session, because: SessionEnd): void
}

/** What a PUBLISH begins as that has to be put to the hook: no reason code. */
export const undecided = -1
