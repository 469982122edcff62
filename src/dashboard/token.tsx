/** The token: asked for where the gateway wants one, and offered where it would let do more. */
import { useState } from 'preact/hooks'
import { ApiError, login } from './api.ts'
import { useIdentity } from './identity.ts'
import { Dialog, Field } from './parts.tsx'
import { text } from './text/text.ts'

/** Logs in with a token, if the gateway knows it. */
export function TokenForm({ onSignedIn }: { onSignedIn(): void }) {
  const [entered, setEntered] = useState('')
  const [refusal, setRefusal] = useState('')
  const words = text.token
  const signIn = async (event: Event) => {
    event.preventDefault()
    try {
      await login.begin(entered.trim())
      onSignedIn()
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      setRefusal(words.refused(error.message))
    }
  }
  return (
    <form onSubmit={signIn} class="stack">
      <Field label={words.token} hint={words.kept}>
        {(id, hint) => (
          <input
            id={id}
            aria-describedby={hint}
            type="password"
            autocomplete="off"
            required
            value={entered}
            onInput={(event) => setEntered(event.currentTarget.value)}
          />
        )}
      </Field>
      <p class="hint">
        {words.where} <code>{words.more}</code>
      </p>
      {refusal !== '' && (
        <p class="notice bad" role="alert">
          {refusal}
        </p>
      )}
      <div class="buttons">
        <button type="submit" class="primary">
          {words.signIn}
        </button>
      </div>
    </form>
  )
}

/** Whose the page is, and how to become somebody else. */
export function TokenButton({ onChange }: { onChange(): void }) {
  const identity = useIdentity()
  const [asking, setAsking] = useState(false)
  const words = text.token
  if (identity.token !== null) {
    const signOut = async () => {
      try {
        await login.end()
      } finally {
        onChange()
      }
    }
    return (
      <span class="who">
        <span>{words.as(identity.token, identity.role ?? '')}</span>
        <button type="button" onClick={signOut}>
          {words.signOut}
        </button>
      </span>
    )
  }
  return (
    <>
      <button type="button" onClick={() => setAsking(true)}>
        {words.signIn}
      </button>
      {asking && (
        <Dialog title={words.signIn} onClose={() => setAsking(false)}>
          <p class="dialog-text">{words.open}</p>
          <TokenForm
            onSignedIn={() => {
              setAsking(false)
              onChange()
            }}
          />
        </Dialog>
      )}
    </>
  )
}
