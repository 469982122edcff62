/** Who may connect: the port for whoever checks credentials. */
import type { ClientLimits, Grant } from '../core/ports/authority.ts'
import type { ProtocolVersion } from '../mqtt/packet.ts'

export type { ClientLimits, Grant } from '../core/ports/authority.ts'

export interface AuthenticationRequest {
  clientId: string
  username: string | undefined
  password: Uint8Array | undefined
  version: ProtocolVersion
  /** The client's address, "address:port". */
  remoteAddress: string
  /** Name of the listener that it came by. */
  listener: string
  /** Fields of its TLS certificate, which was verified; absent: it showed none. */
  certificate?: Readonly<Record<string, string>>
  /** The bearer token of its WebSocket's handshake (RFC 6750); absent: it brought none. */
  bearer?: string
}

/** What comes with a yes. */
export interface AuthenticationGrant {
  /** What the client may do; absent: everything. */
  grant?: Grant | null
  /** A stable name of whom this is, to whom the session belongs; absent: the user name that an authenticator was asked about. */
  principal?: string
  /** Milliseconds since the epoch: then the connection ends (0xA0), unless the client authenticates anew before. */
  expiresAt?: number
  limits?: ClientLimits
  /** Its namespace, one of those configured; absent: that of its listener, else the default one. */
  namespace?: string
}

export interface AuthenticationResult extends AuthenticationGrant {
  /** 0: accepted. Otherwise a CONNACK reason code of MQTT 5.0; 3.x clients get the return code that comes nearest. */
  reasonCode: number
  reasonString?: string
  /** Where to go instead, with 0x9C and 0x9D. */
  serverReference?: string
}

export interface Authenticator {
  authenticate(request: AuthenticationRequest): AuthenticationResult | Promise<AuthenticationResult>
}

/** One step of enhanced authentication, MQTT 5.0 section 4.12. */
export type AuthenticationStep =
  | { type: 'continue'; data?: Uint8Array }
  | ({ type: 'success'; data?: Uint8Array } & AuthenticationGrant)
  | { type: 'failure'; reasonCode: number; reasonString?: string }

export interface AuthenticationExchange {
  /** Takes the client's Authentication Data and says what follows. */
  next(data: Uint8Array | undefined): AuthenticationStep | Promise<AuthenticationStep>
}

export interface AuthenticationMethod {
  /** Called for each CONNECT, and for each re-authentication, that names the method. null: not with this client (0x8C). */
  begin(
    request: Pick<AuthenticationRequest, 'clientId' | 'remoteAddress' | 'listener' | 'certificate'> & {
      username?: string
      /** The client is connected, and says again who it is. */
      renews?: boolean
    },
  ): AuthenticationExchange | null
}
