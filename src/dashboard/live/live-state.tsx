/** Whether messages arrive, and the login that they may need. */
import { useState } from 'preact/hooks'
import { Field } from '../parts.tsx'
import { text } from '../text/text.ts'
import { type Live, login } from './use-feed.ts'

export function LiveState({ live: { state, reason } }: { live: Live }) {
  const kind = state === 'connected' ? 'good' : state === 'connecting' ? 'wait' : 'bad'
  return (
    <p class={`lamp live ${kind}`} role="status" data-state={state}>
      {text.live.states[state]}
      {state === 'offline' && reason !== '' ? `: ${reason}` : ''}
    </p>
  )
}

/** Messages come to an MQTT client; where those have to log in, so has this one. */
export function LiveLogin({ reason, onLogin }: { reason: string; onLogin(): void }) {
  const [username, setUsername] = useState(login.username)
  const [password, setPassword] = useState('')
  const words = text.live
  return (
    <form
      class="notice row end"
      onSubmit={(event) => {
        event.preventDefault()
        Object.assign(login, { username, password })
        onLogin()
      }}
    >
      <p class="grow">{words.refused(reason)}</p>
      <Field label={words.username}>
        {(id) => <input id={id} value={username} onInput={(event) => setUsername(event.currentTarget.value)} />}
      </Field>
      <Field label={words.password}>
        {(id) => (
          <input
            id={id}
            type="password"
            autocomplete="off"
            value={password}
            onInput={(event) => setPassword(event.currentTarget.value)}
          />
        )}
      </Field>
      <button type="submit">{words.connect}</button>
    </form>
  )
}
