/**
 * Budgets: how much of each kind the broker keeps, over all clients. Each has a limit among the options, what is used now is a
 * gauge, and a refusal is counted. Limits for one client stand beside what they limit.
 *
 * Bytes are counted with what the objects around them take, about: a limit is there to keep the process alive, and a budget
 * that counts payloads alone is spent ten times over by empty ones.
 */
import { type BrokerOptions, budgetLimits, type ChangeableLimits } from './options.ts'
import { type Message, messageBytes } from './publish/message.ts'

export class Budget {
  max: number
  used = 0
  /** Times that there was no room. */
  refused = 0

  constructor(max: number) {
    this.max = max
  }

  get exceeded(): boolean {
    return this.used > this.max
  }

  /** Whether so much more has room; counted where it has none. */
  admits(amount: number): boolean {
    if (this.used + amount <= this.max) return true
    this.refused++
    return false
  }
}

/** Messages that wait in memory, each counted once however many sessions hold it. */
export class QueueBudget extends Budget {
  hold(message: Message): void {
    if (message.holders++ === 0) this.used += heldBytes(message)
  }

  letGo(message: Message): void {
    if (--message.holders === 0) this.used -= heldBytes(message)
  }
}

/** A message's object and its arrays of bytes. */
const messageObjectBytes = 400

/** What a message takes in memory. */
export function heldBytes(message: Message): number {
  return messageBytes(message) + messageObjectBytes
}

export class Budgets {
  readonly sessions: Budget
  readonly anonymousSessions: Budget
  readonly subscriptions: Budget
  readonly subscriptionBytes: Budget
  readonly retainedBytes: Budget
  readonly willBytes: Budget
  readonly queueBytes: QueueBudget
  readonly routeCacheBytes: Budget
  /** Of CONNECT packets that are not whole yet. */
  readonly handshakeBytes: Budget
  /** Of other packets. */
  readonly partialPacketBytes: Budget
  /** Output that peers do not read. */
  readonly outputBytes: Budget
  /** Messages that wait until they are due, in memory and in the store. */
  readonly delayedMessages: Budget
  readonly delayedBytes: Budget

  constructor(options: BrokerOptions) {
    this.sessions = new Budget(options.sessionsMax)
    this.anonymousSessions = new Budget(options.anonymousSessionsMax)
    this.subscriptions = new Budget(options.subscriptionsMax)
    this.subscriptionBytes = new Budget(options.subscriptionBytesMax)
    this.retainedBytes = new Budget(options.retainedBytesMax)
    this.willBytes = new Budget(options.willBytesMax)
    this.queueBytes = new QueueBudget(options.residentBytesMax)
    this.routeCacheBytes = new Budget(options.routeCacheBytesMax)
    this.handshakeBytes = new Budget(options.handshakeBytesMax)
    this.partialPacketBytes = new Budget(options.partialPacketBytesMax)
    this.outputBytes = new Budget(options.outputBytesMax)
    this.delayedMessages = new Budget(options.delayedMessagesMax)
    this.delayedBytes = new Budget(options.delayedBytesMax)
  }
}

/** What is kept beyond a lower limit stays. */
export function changeBudgets(budgets: Budgets, limits: ChangeableLimits): void {
  for (const [name, limit] of Object.entries(budgetLimits)) {
    budgets[name as keyof typeof budgetLimits].max = limits[limit]
  }
}

/** What a subscription counts for besides its filter's place in the index. */
export const subscriptionObjectBytes = 300

export interface BudgetReading {
  readonly used: number
  readonly max: number
  readonly refused: number
}
