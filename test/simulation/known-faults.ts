/** Faults of the gateway that are known and not repaired yet: lives don't fail for them. Each goes with its repair. */
export const knownFaults = {
  /** A client that was connected when a process died counts as gone since the start of each next one. */
  expiryExtendedByRestarts: true,
  /** What a group's member had is lost where it can't be handed over. */
  handOverLoses: false,
  /** A group's member at QoS 0 is handed over what has expired. */
  handOverIgnoresExpiry: false,
  /** What expires between being marked as sent and its turn comes back after a crash. */
  expiredRevived: false,
}
