import { createRequire } from 'node:module'

/** The package's own version; by its name, since sources and built files lie at different depths below package.json. */
export const version: string = (createRequire(import.meta.url)('mqtide/package.json') as { version: string }).version
