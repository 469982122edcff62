import type { Summary } from './summary.ts'
export function htmlReport(summary: Summary): string {
  return JSON.stringify(summary)
}
