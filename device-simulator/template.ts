/** Templates for client ids, topics and texts: `{index}` and MQTTX's `%i`, `%c`, `%u`. */

export type Variables = Readonly<Record<string, string>>

/** Replaces the known names; an unknown one stays as it is, so that a JSON text may hold braces. */
export function fillTemplate(template: string, variables: Variables): string {
  if (!template.includes('{') && !template.includes('%')) return template
  return template
    .replace(/\{([A-Za-z_]\w*)\}/g, (whole, name: string) => variables[name] ?? whole)
    .replace(/%([icu])/g, (whole, letter: string) => {
      const name = letter === 'i' ? 'index' : letter === 'c' ? 'clientId' : 'username'
      return variables[name] ?? whole
    })
}

/** Names in braces that no variable has. */
export function unknownVariables(template: string, variables: Variables): string[] {
  return [...template.matchAll(/\{([A-Za-z_]\w*)\}/g)]
    .map((match) => match[1]!)
    .filter((name) => !Object.hasOwn(variables, name))
}
