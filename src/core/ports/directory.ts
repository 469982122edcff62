/**
 * Which node a client's session is at. A node that is alone has every session that there is; one of several asks the others
 * first, so that a session never lives at two of them.
 */

/** 0: the session is this node's to make or to resume; else why not, as a CONNACK reason code of MQTT 5.0. */
export interface Claim {
  reasonCode: number
  serverReference?: string | undefined
}

export interface SessionDirectory {
  /** Of a client id in a namespace. Asked between the authority's yes and CONNACK. Answers at once or later, once. */
  claim(namespace: string, clientId: string, cleanStart: boolean, done: (claim: Claim) => void): void
}

const granted: Claim = { reasonCode: 0 }

/** Of a single node. */
export const ownDirectory: SessionDirectory = {
  claim: (_namespace, _clientId, _cleanStart, done) => done(granted),
}
