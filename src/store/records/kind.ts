/**
 * The number of each kind of record, its first byte in a batch. A number is never given to another kind; a new kind of record
 * takes the next one and a file in this folder.
 */
export const Kind = {
  sessionPut: 1,
  sessionDelete: 2,
  subscriptionPut: 3,
  subscriptionDelete: 4,
  messagePut: 5,
  enqueue: 6,
  dequeue: 7,
  release: 8,
  incomingPut: 9,
  incomingDelete: 10,
  retainedPut: 11,
  retainedDelete: 12,
  willPut: 13,
  willDelete: 14,
  enqueueMessage: 15,
  complete: 16,
  sent: 17,
  move: 18,
  clock: 19,
  logPut: 20,
  attemptPut: 21,
  attemptDelete: 22,
  delayedPut: 23,
  delayedDelete: 24,
} as const
