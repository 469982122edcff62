/** The OpenAPI document as a page for people: every call with what it needs, takes and answers. No script, no style of others. */
import type { Api } from './route.ts'

type Document = ReturnType<Api['getOpenAPI31Document']>

interface Operation {
  operationId?: string
  summary?: string
  tags?: string[]
  parameters?: { name: string; in: string; required?: boolean; schema?: object; description?: string }[]
  responses: Record<string, { description?: string }>
  security?: object[]
  'x-role'?: string
}

export function documentPage(document: Document): string {
  const { info, servers = [], paths = {} } = document
  const calls = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods as Record<string, Operation>).map(([method, operation]) => {
      return callOf(`${method.toUpperCase()} ${servers[0]?.url ?? ''}${path}`, operation)
    }),
  )
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escaped(info.title)} API</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/page.css">
<main><h1>${escaped(info.title)} API ${escaped(info.version)}</h1>
<p>${escaped(info.description ?? '')} As a document for programs: <a href="/api/v1/openapi.json">openapi.json</a>.</p>
${calls.join('\n')}</main></html>
`
}

function callOf(line: string, { summary = '', parameters = [], responses, security = [], ...rest }: Operation): string {
  const isOpen = security.some((one) => Object.keys(one).length === 0)
  const role = `Role ${rest['x-role'] ?? ''}${isOpen ? '; without authentication also programs of this machine' : ''}.`
  const taken = parameters.map(({ name, in: place, required, description = '' }) => {
    const kind = `${place}${required === true ? ', required' : ''}`
    return `<li><code>${escaped(name)}</code> (${escaped(kind)}) ${escaped(description)}</li>`
  })
  const answers = Object.entries(responses).map(([status, { description = '' }]) => `${status} ${description}`)
  return `<section><h2><code>${escaped(line)}</code></h2><p>${escaped(summary)}. ${escaped(role)}</p>
<ul>${taken.join('')}</ul><p>Answers: ${escaped(answers.join('; '))}.</p></section>`
}

function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return text.replace(/[&<>"]/g, (character) => names[character]!)
}
