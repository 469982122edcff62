/** Why something is allowed or not, by which rule; and what becomes of a message that is published to find out. */
import { useState } from 'preact/hooks'
import { ApiError, call, type Explanation } from '../api.ts'
import { ExplainedMessage } from '../explained-message.tsx'
import { useIdentity, useMay } from '../identity.ts'
import { Field, Panel } from '../parts.tsx'
import { text } from '../text/text.ts'

type Action = 'publish' | 'subscribe' | 'receive'
const actions: readonly Action[] = ['publish', 'subscribe', 'receive']

export function Explain() {
  const { namespace } = useIdentity()
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.explain}</h1>
      </div>
      <div class="columns">
        {namespace === null && <Rules />}
        <Followed />
      </div>
    </>
  )
}

interface Question {
  action: Action
  topic: string
  user: string
  clientId: string
  address: string
  qos: number
}

interface Verdict {
  allowed: boolean
  because: string
}

const noQuestion: Question = { action: 'publish', topic: '', user: '', clientId: '', address: '', qos: 0 }

function Rules() {
  const [question, setQuestion] = useState(noQuestion)
  const [verdict, setVerdict] = useState<Verdict>()
  const [fault, setFault] = useState('')
  const words = text.explain
  const change = (part: Partial<Question>) => setQuestion((before) => ({ ...before, ...part }))
  const ask = async (event: Event) => {
    event.preventDefault()
    const { action, topic, qos, ...who } = question
    const given = Object.fromEntries(Object.entries(who).filter(([, value]) => value !== ''))
    try {
      const body = { ...given, [action]: topic, qos }
      setVerdict(await call<Verdict>('/explain', { method: 'POST', body }))
      setFault('')
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      setVerdict(undefined)
      setFault(text.common.failed(error.message))
    }
  }
  return (
    <Panel title={words.rules}>
      <form class="stack" onSubmit={ask} autocomplete="off">
        <Field label={words.action}>
          {(id) => (
            <select
              id={id}
              value={question.action}
              onChange={(event) => change({ action: event.currentTarget.value as Action })}
            >
              {actions.map((action) => (
                <option key={action} value={action}>
                  {words.actions[action]}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label={question.action === 'subscribe' ? words.filter : words.topic}>
          {(id) => (
            <input
              id={id}
              class="mono"
              required
              value={question.topic}
              onInput={(event) => change({ topic: event.currentTarget.value })}
            />
          )}
        </Field>
        <Who question={question} change={change} />
        <div class="buttons">
          <button type="submit" class="primary">
            {words.ask}
          </button>
        </div>
        <div role="status">
          {verdict !== undefined && (
            <p class={verdict.allowed ? 'notice calm' : 'notice bad'}>
              <b>{verdict.allowed ? words.allowed : words.refused}</b> {verdict.because}
            </p>
          )}
          {fault !== '' && <p class="notice bad">{fault}</p>}
        </div>
      </form>
    </Panel>
  )
}

function Who({ question, change }: { question: Question; change(part: Partial<Question>): void }) {
  const words = text.explain
  const fields = ['user', 'clientId', 'address'] as const
  return (
    <div class="row end">
      {fields.map((field) => (
        <Field key={field} label={words.who[field]} class="grow" hint={words.hints[field]}>
          {(id, hint) => (
            <input
              id={id}
              aria-describedby={hint}
              value={question[field]}
              onInput={(event) => change({ [field]: event.currentTarget.value })}
            />
          )}
        </Field>
      ))}
    </div>
  )
}

function Followed() {
  const [message, setMessage] = useState({ topic: '', payload: '', to: '', qos: 1 })
  const [explained, setExplained] = useState<Explanation>()
  const [state, setState] = useState<{ busy: boolean; fault: string }>({ busy: false, fault: '' })
  const may = useMay('operate')
  const words = text.explain
  const change = (part: Partial<typeof message>) => setMessage((before) => ({ ...before, ...part }))
  const publish = async (event: Event) => {
    event.preventDefault()
    setState({ busy: true, fault: '' })
    const { to, ...rest } = message
    const body = to === '' ? rest : { ...rest, to }
    try {
      setExplained(await call<Explanation>('/explain/publish', { method: 'POST', body }))
      setState({ busy: false, fault: '' })
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      setState({ busy: false, fault: text.common.failed(error.message) })
    }
  }
  const names = ['topic', 'payload', 'to'] as const
  return (
    <Panel title={words.message}>
      <form class="stack" onSubmit={publish} autocomplete="off">
        <p class="hint">{words.messageMore}</p>
        {names.map((name) => (
          <Field key={name} label={words.fields[name]} hint={name === 'to' ? words.toMore : undefined}>
            {(id, hint) => (
              <input
                id={id}
                class="mono"
                aria-describedby={hint}
                required={name === 'topic'}
                value={message[name]}
                onInput={(event) => change({ [name]: event.currentTarget.value })}
              />
            )}
          </Field>
        ))}
        <div class="buttons">
          <button type="submit" class="primary" disabled={!may || state.busy}>
            {words.publish}
          </button>
        </div>
        <p role="status" class="hint">
          {may ? (state.busy ? words.waiting : '') : text.token.needed}
        </p>
        {state.fault !== '' && <p class="notice bad">{state.fault}</p>}
        {explained !== undefined && <ExplainedMessage explained={explained} />}
      </form>
    </Panel>
  )
}
