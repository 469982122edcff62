import { connect } from 'mqtide/client'
import { ConnectionProvider } from 'mqtide/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Rooms } from './rooms.jsx'

// Once, outside the components.
const connection = connect(new URLSearchParams(location.search).get('gateway') ?? 'http://127.0.0.1:8083')

createRoot(document.querySelector('#root')).render(
  <StrictMode>
    <ConnectionProvider connection={connection}>
      <Rooms />
    </ConnectionProvider>
  </StrictMode>,
)
