/** Sources as one script for a page, as a bundler would make it from a user's project; nothing is written to disk. */
import { fileURLToPath } from 'node:url'
import { build, type Rollup } from 'vite'

const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

export async function bundle(entry: string, { minify = false, external = [] as string[] } = {}): Promise<string> {
  const built = (await build({
    root: source('.'),
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"development"' },
    resolve: {
      alias: [
        { find: 'mqtide/client', replacement: source('src/client/index.ts') },
        { find: 'mqtide/react', replacement: source('src/client/react.ts') },
      ],
    },
    build: {
      write: false,
      minify,
      rollupOptions: { external },
      lib: { entry: source(entry), formats: ['es'], fileName: 'page' },
    },
  })) as Rollup.RollupOutput[]
  return built[0]!.output[0].code
}
