/** How much of a bench is left, in runs and in time. */

/** One run that is to be made: one broker in one round of one scenario. */
export interface PlannedRun {
  scenario: string
  /** Name of the broker, the same for all its settings. */
  broker: string
  /** What the scenario takes with a quick broker, start and stop included. */
  expectedSeconds: number
}

interface Pace {
  expectedSeconds: number
  seconds: number
}

/** Tells the time left from how much longer than expected each broker has taken so far. */
export class Progress {
  #left: PlannedRun[]
  #done = 0
  readonly #paces = new Map<string, Pace>()
  readonly #all: Pace = { expectedSeconds: 0, seconds: 0 }

  constructor(planned: readonly PlannedRun[]) {
    this.#left = [...planned]
  }

  /** A run that was planned has ended after `seconds`. */
  ended(scenario: string, broker: string, seconds: number): void {
    const index = this.#left.findIndex((run) => run.scenario === scenario && run.broker === broker)
    if (index < 0) return
    const { expectedSeconds } = this.#left.splice(index, 1)[0]!
    this.#done++
    const pace = this.#paces.get(broker) ?? { expectedSeconds: 0, seconds: 0 }
    this.#paces.set(broker, pace)
    for (const one of [pace, this.#all]) {
      one.expectedSeconds += expectedSeconds
      one.seconds += seconds
    }
  }

  /** Nothing more comes of this scenario, also where runs were left out. */
  closed(scenario: string): void {
    this.#left = this.#left.filter((run) => run.scenario !== scenario)
  }

  get secondsLeft(): number {
    return this.#left.reduce((sum, run) => {
      const pace = this.#paces.get(run.broker) ?? this.#all
      return sum + run.expectedSeconds * (pace.seconds > 0 ? pace.seconds / pace.expectedSeconds : 1)
    }, 0)
  }

  get runsLeft(): number {
    return this.#left.length
  }

  toString(): string {
    const minutes = this.secondsLeft / 60
    const time = minutes < 1 ? 'less than a minute' : `about ${Math.round(minutes)} min`
    return `${this.#done} of ${this.#done + this.#left.length} runs, ${time} left`
  }
}
