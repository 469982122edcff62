/** What a page loads of the client, compressed. Vite leaves line breaks in a library; a user's bundle is smaller still. */
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { bundle } from '../browser/bundle.ts'

const bytesMax = 10_000

test.each(['src/client/index.ts', 'src/client/react.ts'])(
  '%s is below 10 KB in a page, compressed',
  async (entry) => {
    const script = await bundle(entry, { minify: true, external: ['react'] })
    const { length } = gzipSync(script)
    expect(length).toBeGreaterThan(500)
    expect(length).toBeLessThan(bytesMax)
  },
  120_000,
)
