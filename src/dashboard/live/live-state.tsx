/** Whether messages arrive, and if not, why. */
import { visible } from '../shown.ts'
import { text } from '../text/text.ts'
import type { Live } from './use-feed.ts'

export function LiveState({ live: { filter, state, reason } }: { live: Live }) {
  const kind = state === 'connected' ? 'good' : state === 'connecting' ? 'wait' : 'bad'
  return (
    <p class={`lamp live ${kind}`} role="status" data-state={state} data-filter={filter}>
      {text.live.states[state]}
      {reason === '' ? '' : `: ${visible(reason)}`}
    </p>
  )
}
