/** Faults of the gateway that are known and not repaired yet: lives don't fail for them. Each goes with its repair. */
export const knownFaults = {
  /** A client that was connected when a process died counts as gone since the start of each next one. */
  expiryExtendedByRestarts: true,
  /** What a group's member had is lost where it can't be handed over. */
  handOverLoses: true,
  /** The first messages of a queue that were recovered are taken for sent: they carry DUP and do not expire. */
  recoveredTakenForSent: false,
}
