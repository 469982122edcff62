import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/**
 * Tests start hundreds of store threads, and without a cache each of them strips the types of its sources anew, with a
 * compiler in WebAssembly. V8 replaces wrappers of WebAssembly that are called often, and freeing the old ones can end a
 * process that has several threads: "Check failed: jit_page.has_value()". It did once in a run of all tests; the like is
 * reported in https://github.com/nodejs/node/issues/64500.
 */
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/mqtide', import.meta.url))
/** For the thread that reads a source first, when the cache does not have it yet: no wrapper is replaced, so none is freed. */
const keepWrappers = '--wasm-wrapper-tiering-budget=1000000000'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'device-simulator/test/**/*.test.ts'],
    // Where somebody starts vitest itself, npm has not built it.
    globalSetup: 'test/dashboard/built.ts',
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: 'forks',
    execArgv: [keepWrappers],
  },
})
