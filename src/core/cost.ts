/**
 * What the core has done, in steps: a node of an index visited, a subscription merged, a delivery handed to a session, a filter
 * subscribed. A step takes between a tenth of a microsecond and a few; a packet's bytes are no measure of its work, since two
 * bytes can match a hundred thousand subscriptions.
 *
 * Steps are counted as plain additions and stay on. Whatever may take many is cut by them: one peer's packets are read no
 * further in a turn in which they took `turnStepsMax`, and what lies in wait (retained messages for new subscribers, the ends of
 * sessions) goes on in later turns.
 */
export interface Cost {
  steps: number
  /** Whoever sends the packets of the moment waits for the next turn when the steps have come this far. */
  stepsEnd: number
}

/** To be called behind a packet that may have taken many steps. */
export function yieldWhereDue(cost: Cost, link: { yieldTurn(): void }): void {
  if (cost.steps >= cost.stepsEnd) link.yieldTurn()
}

/** After so many steps the rest of what one peer sent waits for the next turn: 20 to 50 ms. */
export const turnStepsMax = 100_000

/** Steps that one subscriber's retained messages may take at a time. */
export const retainedStepsMax = 5_000

/** Steps per turn for all that was put off to later turns, whoever it is for. */
export const workStepsMax = 20_000
