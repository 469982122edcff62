/** Before all tests: the dashboard as its sources have it, since gateways serve it. */
import { execFileSync } from 'node:child_process'

export default function buildDashboard(): void {
  execFileSync(process.execPath, [new URL('../../scripts/dashboard.js', import.meta.url).pathname], {
    stdio: 'inherit',
  })
}
