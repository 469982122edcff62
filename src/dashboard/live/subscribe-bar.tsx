/** Which topic filter is subscribed to; holds the picture still, and begins it anew. */
import { useEffect, useState } from 'preact/hooks'
import { Field } from '../parts.tsx'
import { text } from '../text/text.ts'

interface SubscribeBarProps {
  filter: string
  onSubscribe(filter: string): void
  paused: boolean
  onPause(paused: boolean): void
  onClear(): void
}

export function SubscribeBar({ filter, onSubscribe, paused, onPause, onClear }: SubscribeBarProps) {
  const [typed, setTyped] = useState(filter)
  useEffect(() => setTyped(filter), [filter])
  const words = text.topics
  return (
    <form
      class="panel-head row end"
      autocomplete="off"
      onSubmit={(event) => {
        event.preventDefault()
        onSubscribe(typed)
      }}
    >
      <Field label={words.filter} class="grow">
        {(id) => (
          <input
            id={id}
            class="mono"
            required
            maxLength={1024}
            spellcheck={false}
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        )}
      </Field>
      <button type="submit">{words.subscribe}</button>
      <button type="button" aria-pressed={paused} onClick={() => onPause(!paused)}>
        {paused ? words.resume : words.pause}
      </button>
      <button type="button" onClick={onClear}>
        {words.clear}
      </button>
    </form>
  )
}
