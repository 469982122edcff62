/** What changes something: asked again, done with the token's rights, and answered in words. */
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { ApiError } from './api.ts'
import { useMay } from './identity.ts'
import { Confirm } from './parts.tsx'
import { text } from './text/text.ts'

interface ActionProps {
  label: string
  title: string
  children: ComponentChildren
  /** Resolves to what there is to say about it. */
  run(): Promise<string>
  disabled?: boolean
}

export function Action({ label, title, children, run, disabled = false }: ActionProps) {
  const [asking, setAsking] = useState(false)
  const [answer, setAnswer] = useState<{ text: string; failed: boolean }>()
  const may = useMay('operate')
  const confirm = async () => {
    setAsking(false)
    try {
      setAnswer({ text: await run(), failed: false })
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      setAnswer({ text: text.common.failed(error.message), failed: true })
    }
  }
  return (
    <span class="action">
      <button
        type="button"
        class="danger"
        disabled={!may || disabled}
        title={may ? undefined : text.token.needed}
        onClick={() => setAsking(true)}
      >
        {label}
      </button>
      <span role="status" class={answer?.failed === true ? 'hint bad' : 'hint'}>
        {answer?.text ?? ''}
      </span>
      {asking && (
        <Confirm title={title} action={label} onConfirm={confirm} onCancel={() => setAsking(false)}>
          {children}
        </Confirm>
      )}
    </span>
  )
}

/** Why buttons are switched off, said once where they stand. */
export function NeedsToken() {
  return useMay('operate') ? null : <p class="hint">{text.token.neededToChange}</p>
}
