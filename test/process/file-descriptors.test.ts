import { expect, test } from 'vitest'
import { fileDescriptorsMax, openFilesIn } from '../../src/process/file-descriptors.ts'

test("the number of files that may be open is read from Linux' table of limits", () => {
  const table = (soft: string) =>
    `Limit                     Soft Limit           Hard Limit           Units\nMax open files            ${soft}                20000                files\n`
  expect(openFilesIn(table('1024'))).toBe(1024)
  expect(openFilesIn(table('unlimited'))).toBe(Infinity)
  expect(openFilesIn('')).toBeUndefined()
  if (process.platform === 'linux') expect(fileDescriptorsMax()).toBeGreaterThan(0)
})
