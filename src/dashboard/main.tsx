/** Where the dashboard starts, in the browser. */
import { render } from 'preact'
import { App } from './app.tsx'
import { loadText } from './text/text.ts'
import { applyTheme } from './theme.ts'

applyTheme()
await loadText()
render(<App />, document.querySelector('#app')!)
