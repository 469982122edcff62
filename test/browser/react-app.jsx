/** A page of React components over a gateway that the test plays: `window.app` is how the test takes part. */
import { connect } from 'mqtide/client'
import { ConnectionProvider, useConnection, usePublish, useTopic, useTopics } from 'mqtide/react'
import { StrictMode, useRef, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { FakeGateway } from '../client/fake-gateway.ts'

const gateway = new FakeGateway()
const connection = connect('http://gateway.test', { WebSocket: gateway.WebSocket })

function App() {
  const { state, error } = useConnection()
  const [device, setDevice] = useState('a')
  const temperature = useTopic(`device/${device}`, { qos: 1 })
  const all = useTopics('device/#', { topicsMax: 3 })
  const publish = usePublish()
  const renders = useRef(0)
  renders.current++
  window.app.renders = renders.current
  return (
    <main>
      <output id="state">{error ? `${state}: ${error.message}` : state}</output>
      <output id="temperature">{temperature?.text ?? 'none'}</output>
      <ul>
        {[...all].map(([topic, { text }]) => (
          <li key={topic}>{`${topic} ${text}`}</li>
        ))}
      </ul>
      <button type="button" id="other" onClick={() => setDevice('b')}>
        other
      </button>
      <button type="button" id="publish" onClick={() => publish('command', { on: true }, { qos: 0 })}>
        publish
      </button>
    </main>
  )
}

let root
window.app = {
  gateway,
  mount() {
    root = createRoot(document.body.appendChild(document.createElement('div')))
    root.render(
      <StrictMode>
        <ConnectionProvider connection={connection}>
          <App />
        </ConnectionProvider>
      </StrictMode>,
    )
  },
  unmount: () => root.unmount(),
  /** Filters that are subscribed now, in the order of the alphabet. */
  subscribed() {
    const filters = new Set()
    for (const frame of gateway.last.said) {
      if (frame.op === 'subscribe') for (const { filter } of frame.filters) filters.add(filter)
      if (frame.op === 'unsubscribe') for (const filter of frame.filters) filters.delete(filter)
    }
    return [...filters].sort()
  },
}
