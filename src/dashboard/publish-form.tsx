/** Publishes one message, by the API: so it needs no MQTT user, and its answer says whether anybody got it. */
import { useEffect, useState } from 'preact/hooks'
import { ApiError, call } from './api.ts'
import { useMay } from './identity.ts'
import { Field } from './parts.tsx'
import { text } from './text/text.ts'

export interface Draft {
  topic: string
  payload: string
  qos: number
  retain: boolean
}

export const emptyDraft: Draft = { topic: '', payload: '', qos: 0, retain: false }

type Published = { outcome: string }

export async function publish({ topic, payload, qos, retain }: Draft): Promise<string> {
  const words = text.publish
  if (/[+#]/.test(topic)) throw new ApiError(400, words.wildcards)
  const { outcome } = await call<Published>('/publish', { method: 'POST', body: { topic, payload, qos, retain } })
  return outcome === 'no-subscribers' ? words.nobody(topic) : words.done(topic)
}

interface PublishFormProps {
  /** What the form begins with; another one takes its place. */
  draft: Draft
  onSave?(draft: Draft): void
}

export function PublishForm({ draft, onSave }: PublishFormProps) {
  const [message, setMessage] = useState(draft)
  const [answer, setAnswer] = useState<{ text: string; failed: boolean }>({ text: '', failed: false })
  const may = useMay('publish')
  const words = text.publish
  useEffect(() => setMessage(draft), [draft])
  const change = (part: Partial<Draft>) => setMessage((before) => ({ ...before, ...part }))
  const send = async (event: Event) => {
    event.preventDefault()
    try {
      setAnswer({ text: await publish(message), failed: false })
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      setAnswer({ text: words.failed(error.message), failed: true })
    }
  }
  return (
    <form class="stack" onSubmit={send} autocomplete="off">
      <Field label={words.topic}>
        {(id) => (
          <input
            id={id}
            class="mono"
            required
            maxLength={65_535}
            spellcheck={false}
            placeholder="home/kitchen/light"
            value={message.topic}
            onInput={(event) => change({ topic: event.currentTarget.value })}
          />
        )}
      </Field>
      <Field label={words.payload}>
        {(id) => (
          <textarea
            id={id}
            rows={4}
            spellcheck={false}
            value={message.payload}
            onInput={(event) => change({ payload: event.currentTarget.value })}
            onKeyDown={(event) => {
              if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit()
            }}
          />
        )}
      </Field>
      <DeliveryFields message={message} change={change} />
      <div class="buttons">
        {onSave !== undefined && (
          <button type="button" disabled={message.topic === ''} onClick={() => onSave(message)}>
            {words.save}
          </button>
        )}
        <button type="submit" class="primary" disabled={!may}>
          {words.publish}
        </button>
      </div>
      <p role="status" class={answer.failed ? 'hint bad' : 'hint'}>
        {may ? answer.text || words.keys : text.token.needed}
      </p>
    </form>
  )
}

function DeliveryFields({ message, change }: { message: Draft; change(part: Partial<Draft>): void }) {
  const words = text.publish
  return (
    <div class="row">
      <label class="check">
        {words.qos}
        <select value={message.qos} onChange={(event) => change({ qos: Number(event.currentTarget.value) })}>
          <option value={0}>0</option>
          <option value={1}>1</option>
          <option value={2}>2</option>
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={message.retain}
          onChange={(event) => change({ retain: event.currentTarget.checked })}
        />
        {words.retain}
      </label>
    </div>
  )
}
