/** Clients that are refused at sight, whoever they say they are: those that were there when a fault of ours ended the process. */
export interface Bans {
  /** How many are in force. */
  readonly count: number
  /** `clientId` is empty before CONNECT. */
  refuses(clientId: string, remoteAddress: string): boolean
  /** Who has been let into a namespace: the same client id in another one is somebody else. */
  refusesIn(namespace: string, clientId: string): boolean
}

export const noBans: Bans = { count: 0, refuses: () => false, refusesIn: () => false }
