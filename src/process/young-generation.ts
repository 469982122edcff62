/**
 * Lets V8's young generation reach its full size in one or two steps.
 *
 * What is in flight lives for the few milliseconds of a commit. V8 begins with a small young generation, which fills faster
 * than that, so that everything in flight survives two collections and is copied into the old generation, where it dies. V8
 * doubles the size when it sees that much survives; under durable traffic it often stops half way, and then the collections take 13 to
 * 22 % of the thread's time instead of 5 %. The largest size is V8's own: it is only reached sooner.
 *
 * For the program, and before the traffic. A library does not do that to the process it lives in.
 */
import { setFlagsFromString } from 'node:v8'

export function growYoungGenerationFast(): void {
  setFlagsFromString('--semi-space-growth-factor=4')
}
