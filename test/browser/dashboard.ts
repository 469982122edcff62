/** The dashboard in a real browser, as a person has it before them. */
import axe from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { expect } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { quiet } from './flags.ts'

export function launchBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, headless: true, args: quiet })
}

export const homeOf = (gateway: Gateway) => `http://127.0.0.1:${gateway.addresses.http!.port}/`

export interface Dashboard {
  page: Page
  /** Goes to another page by its link. */
  goTo(name: string): Promise<void>
  /** Closes it, and fails for any error in its console, a refusal by the content security policy for one. */
  close(expected?: RegExp): Promise<void>
}

export async function openDashboard(
  browser: Browser,
  gateway: Gateway,
  route = '',
  options: BrowserContextOptions = {},
): Promise<Dashboard> {
  const context = await browser.newContext({ locale: 'en-GB', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  await page.goto(`${homeOf(gateway)}#/${route}`)
  return {
    page,
    async goTo(name) {
      await page.getByRole('navigation').getByRole('link', { name, exact: true }).click()
      await page.getByRole('heading', { level: 1, name }).waitFor()
    },
    async close(expected) {
      await context.close()
      expect(complaints.filter((complaint) => !expected?.test(complaint))).toEqual([])
    },
  }
}

export async function signIn({ page }: Dashboard, token: string): Promise<void> {
  await page.getByRole('button', { name: 'Sign in' }).click()
  const form = page.getByRole('dialog')
  await form.getByLabel('Token').fill(token)
  await form.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
}

interface Violation {
  id: string
  nodes: { html: string; failureSummary?: string }[]
}

/** What axe-core finds amiss. Its source is put in by the browser's protocol, which the page's policy says nothing about. */
export async function faultsOfAccess({ page }: Dashboard): Promise<string[]> {
  await page.evaluate(axe.source)
  const { violations } = (await page.evaluate('axe.run()')) as { violations: Violation[] }
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary = '' }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
  )
}
