/**
 * Rules of the house that neither the compiler nor the linter knows: import direction, identifiers with a better
 * replacement, lengths, files nobody uses, links and paths in the documentation.
 *
 * Each rule gathers its faults as `path:line: what to do` and expects none, so that one run shows all of them. To make
 * an exception, add it below with its reason; an exception that's no longer needed fails too.
 */
import { existsSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { isIdentifier, isPropertyAccessExpression, type Node, SyntaxKind } from 'typescript/unstable/ast'
import { describe, expect, it } from 'vitest'
import { importFault } from './tidy/layers.ts'
import { filesBelow, functionsOf, lineOf, parseSources, read, root, type Source, visit } from './tidy/source-tree.ts'

const functionLinesMax = 70
const fileLinesMax = 400

/** Path, or path and function as `path#name`, to why it may be longer. */
const lengthExceptions: Record<string, string> = {
  'test/mqtt/vectors/publish.ts#a function without a name': 'a table of byte vectors, made once per role',
}

const parametersMax = 5

/** Function to why it may take more. */
const parameterExceptions: Record<string, string> = {
  writePublish: 'once per recipient: an object for its numbers would be made as often',
}

const codeFolders = ['src', 'device-simulator', 'bench', 'test', 'scripts']
/** Where others come in: programs that import ours, a browser, vitest. */
const libraries = ['src/gateway.ts', 'src/client/index.ts', 'src/client/react.ts']
const entries = ['src/main.ts', ...libraries, 'src/dashboard/main.tsx', 'test/dashboard/built.ts']
const codePaths = codeFolders.flatMap((folder) => filesBelow(folder, ['.ts', '.tsx', '.mts']))
const markdownPaths = filesBelow('.', ['.md'])
const { sources, unparsed } = parseSources(codePaths, [
  'tsconfig.json',
  'scripts/tsconfig.json',
  'src/dashboard/tsconfig.json',
])

const pure = ['src/mqtt/', 'src/core/']
const product = ['src/', 'device-simulator/']
const argument = 'take the time, the number or the outcome as an argument; the engine owns clocks and chance'

interface Ban {
  /** `name`, or `object.name` for a property. */
  identifier: string
  in: readonly string[]
  except?: readonly string[]
  instead: string
}

const bans: readonly Ban[] = [
  { identifier: 'Date', in: pure, instead: argument },
  { identifier: 'performance', in: pure, instead: argument },
  { identifier: 'setTimeout', in: pure, instead: 'return the deadline as data; the engine sets the timer' },
  { identifier: 'setInterval', in: pure, instead: 'return the deadline as data; the engine sets the timer' },
  { identifier: 'setImmediate', in: pure, instead: 'finish within the call; the engine ends the turn' },
  { identifier: 'queueMicrotask', in: pure, instead: 'finish within the call; the engine ends the turn' },
  { identifier: 'Promise', in: pure, instead: 'answer synchronously; what waits belongs to the engine' },
  { identifier: 'Math.random', in: pure, instead: argument },
  { identifier: 'crypto', in: pure, instead: argument },
  { identifier: 'console', in: pure, instead: 'report an event to the engine, which logs and counts it' },
  { identifier: 'process', in: pure, instead: 'take it as an argument' },
  {
    identifier: 'console',
    in: ['src/'],
    except: ['src/main.ts', 'src/cli/'],
    instead: 'use the logger that the gateway hands you, so that levels and fields hold',
  },
  {
    identifier: 'process.env',
    in: product,
    except: ['src/main.ts', 'device-simulator/main.ts', 'device-simulator/test/'],
    instead: 'take the value as an argument; main.ts alone reads the environment',
  },
  {
    identifier: 'process.argv',
    in: product,
    except: ['src/main.ts', 'device-simulator/main.ts', 'device-simulator/test/'],
    instead: 'take the value as an argument; main.ts alone reads the command line',
  },
]

describe('the tidy rules', () => {
  it('see the whole tree: every source is type-checked and belongs to a layer', () => {
    expect(sources.length).toBeGreaterThan(0)
    expect(unparsed.map((path) => `${path}: no tsconfig.json includes it`)).toEqual([])
  })

  it('keep the import direction', () => {
    expect(
      faults((source) =>
        source.imports.flatMap((found) => {
          const fault = importFault(source.path, found)
          return fault === undefined ? [] : [`${found.line}: ${fault}`]
        }),
      ),
    ).toEqual([])
  })

  it('keep out identifiers that have a replacement', () => {
    expect(faults((source) => identifierFaults(source))).toEqual([])
  })

  it('keep async out of the wire and the core, any and enum out of everything', () => {
    expect(faults((source) => syntaxFaults(source))).toEqual([])
  })

  it(`keep files within ${fileLinesMax} lines and functions within ${functionLinesMax}`, () => {
    const excused = new Set<string>()
    const found = faults((source) => {
      const long = [
        {
          key: source.path,
          line: 1,
          lines: source.text.trimEnd().split('\n').length,
          most: fileLinesMax,
          what: 'the file',
        },
        ...functionsOf(source).map(({ name, line, lines }) => {
          return { key: `${source.path}#${name}`, line, lines, most: functionLinesMax, what: name }
        }),
      ].filter(({ lines, most }) => lines > most)
      for (const { key } of long) if (key in lengthExceptions) excused.add(key)
      return long
        .filter(({ key }) => !(key in lengthExceptions))
        .map(
          ({ line, lines, most, what }) =>
            `${line}: ${what} has ${lines} lines, ${most} at most; split it along the domain`,
        )
    })
    const needless = Object.keys(lengthExceptions).filter((key) => !excused.has(key))
    expect([...found, ...needless.map((key) => `test/tidy.test.ts: ${key} needs no exception any more`)]).toEqual([])
  })

  it('take few parameters', () => {
    const inProduct = sources.filter(({ path }) => product.some((folder) => path.startsWith(folder)))
    const found = inProduct.flatMap((source) =>
      functionsOf(source)
        .filter(({ name, parameters }) => parameters > parametersMax && !(name in parameterExceptions))
        .map(({ name, line, parameters }) => {
          const place = `${source.path}:${line}`
          return `${place}: ${name} takes ${parameters} parameters, ${parametersMax} at most; give what belongs together a name`
        }),
    )
    expect(found).toEqual([])
  })

  it('leave no file that nothing uses', () => {
    const programs = Object.values(npmScripts()).flatMap((script) => script.match(/\S+\.ts\b/g) ?? [])
    const used = reachable(
      sources.filter(({ path }) => {
        const program = [...programs, ...entries].includes(path)
        return program || path.endsWith('.test.ts') || /^(bench|scripts)\//.test(path)
      }),
    )
    const unused = codePaths.filter((path) => /^(src|test|device-simulator)\//.test(path) && !used.has(path))
    expect(unused.map((path) => `${path}: no program, library or test reaches it; use it or remove it`)).toEqual([])
  })

  it('leave no note to ourselves and no word that belongs to one machine', () => {
    const paths = [...codePaths, ...markdownPaths, ...filesBelow('bin', ['.js']), ...filesBelow('.ci', [''])]
    const found = paths
      .filter((path) => path !== 'test/tidy.test.ts')
      .flatMap((path) =>
        read(path)
          .split('\n')
          .flatMap((text, index) => wordFaults(text).map((fault) => `${path}:${index + 1}: ${fault}`)),
      )
    expect(found).toEqual([])
  })
})

describe('the documentation', () => {
  it('links only to files and headings that exist', () => {
    expect(markdownPaths.flatMap((path) => linkFaults(path))).toEqual([])
  })

  it('names only paths that exist', () => {
    const named = /(?<![\w./-])((?:src|test|bench|docs|scripts|device-simulator|bin|\.ci)\/[\w./-]*)/g
    const found = markdownPaths
      .filter((path) => path !== 'CHANGELOG.md')
      .flatMap((path) =>
        [...read(path).matchAll(/`[^`\n]+`/g)]
          .flatMap(([span]) => [...span.matchAll(named)].map((match) => match[1]!))
          .filter((target) => !existsSync(join(root, target)))
          .map((target) => `${path}: \`${target}\` does not exist`),
      )
    expect(found).toEqual([])
  })

  it('names only npm scripts that exist', () => {
    const scripts = npmScripts()
    const found = [...markdownPaths, ...codePaths].flatMap((path) =>
      [...read(path).matchAll(/`npm run (?:-s )?([a-z][a-z:-]*)/g)]
        .map((match) => match[1]!)
        .filter((name) => !(name in scripts))
        .map((name) => `${path}: package.json has no script ${name}`),
    )
    expect(found).toEqual([])
  })

  it('can be reached from the README, page by page', () => {
    const reached = new Set(['README.md'])
    for (const path of reached) {
      for (const target of linkTargets(path)) if (target.endsWith('.md')) reached.add(target)
    }
    const lost = markdownPaths.filter((path) => /^(docs\/|[A-Z]+\.md$)/.test(path) && !reached.has(path))
    expect(lost.map((path) => `${path}: no link leads here from README.md`)).toEqual([])
  })

  it('numbers each decision once, in its name and its title, with a date and its three parts', () => {
    const notes = filesBelow('docs/decisions', ['.md']).filter((path) => !path.endsWith('README.md'))
    const numberOf = (path: string) => /^docs\/decisions\/(\d{3})-[a-z0-9-]+\.md$/.exec(path)?.[1]
    const numbers = notes.map(numberOf)
    const found = notes.flatMap((path, index) => {
      const number = numberOf(path)
      const text = read(path)
      const due: [boolean, string][] = [
        [number !== undefined, 'expected a number of three digits and a title in its name'],
        [numbers.indexOf(number) === index, `another decision has the number ${number}`],
        [text.startsWith(`# ${number} `), `its first line should be "# ${number} Title"`],
        [/^\d{4}-\d{2}-\d{2}$/m.test(text), 'a line with its date (YYYY-MM-DD) is missing'],
        ...['Context', 'Choice', 'What would change our mind'].map((part): [boolean, string] => [
          text.includes(`\n## ${part}\n`),
          `the part "## ${part}" is missing`,
        ]),
      ]
      return due.filter(([kept]) => !kept).map(([, fault]) => `${path}: ${fault}`)
    })
    expect(notes.length).toBeGreaterThan(0)
    expect(found).toEqual([])
  })
})

function npmScripts(): Record<string, string> {
  return (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts
}

function faults(look: (source: Source) => string[]): string[] {
  return sources.flatMap((source) => look(source).map((fault) => `${source.path}:${fault}`))
}

function binds(path: string, { in: folders, except = [] }: Ban): boolean {
  return folders.some((folder) => path.startsWith(folder)) && !except.some((prefix) => path.startsWith(prefix))
}

function identifierFaults(source: Source): string[] {
  const binding = bans.filter((ban) => binds(source.path, ban))
  const found: string[] = []
  if (binding.length === 0) return found
  visit(source.tree, (node) => {
    const used = usedName(node)
    for (const { identifier, instead } of binding) {
      if (used === identifier) found.push(`${lineOf(source.tree, node)}: not ${identifier}: ${instead}`)
    }
  })
  return found
}

/** `object.name` for a property of an identifier, `name` for an identifier that isn't itself a property's or member's name. */
function usedName(node: Node): string | undefined {
  if (isPropertyAccessExpression(node) && isIdentifier(node.expression)) {
    const object = node.expression.text
    return object === 'globalThis' ? node.name.text : `${object}.${node.name.text}`
  }
  if (!isIdentifier(node)) return undefined
  const parent = node.parent as Node & { name?: Node; propertyName?: Node }
  return parent.name === node || parent.propertyName === node ? undefined : node.text
}

function syntaxFaults(source: Source): string[] {
  const found: string[] = []
  const isPure = pure.some((folder) => source.path.startsWith(folder))
  visit(source.tree, (node) => {
    const fault = {
      [SyntaxKind.AnyKeyword]: 'not any: use unknown and narrow it',
      [SyntaxKind.EnumDeclaration]: 'not enum: use constants and a union, which type stripping can run',
      ...(isPure && {
        [SyntaxKind.AsyncKeyword]: 'not async: the core never waits; hand the work to the engine',
        [SyntaxKind.AwaitExpression]: 'not await: the core never waits; hand the work to the engine',
        [SyntaxKind.AwaitKeyword]: 'not await: the core never waits; hand the work to the engine',
      }),
    }[node.kind as number]
    if (fault !== undefined) found.push(`${lineOf(source.tree, node)}: ${fault}`)
  })
  return found
}

/** Files that `roots` lead to by imports, by worker URLs and by templates such as `./name.${extension}`. */
function reachable(roots: readonly Source[]): Set<string> {
  const byPath = new Map(sources.map((source) => [source.path, source]))
  const reached = new Set<string>()
  const open = [...roots]
  for (let source = open.pop(); source; source = open.pop()) {
    if (reached.has(source.path)) continue
    reached.add(source.path)
    const next = new Set(source.imports.flatMap(({ target }) => target ?? []))
    for (const { text, complete } of source.pathTexts) {
      const target = posix.join(posix.dirname(source.path), text).replace(/\.js$/, '.ts')
      if (complete) next.add(target)
      else for (const path of byPath.keys()) if (path.startsWith(target)) next.add(path)
    }
    for (const path of next) {
      const found = byPath.get(path)
      if (found) open.push(found)
    }
  }
  return reached
}

function wordFaults(line: string): string[] {
  const words: [RegExp, string][] = [
    [/\b(FIXME|TODO|XXX)\b/, 'do it now, or write it down where the work is planned'],
    [
      /(^|[\s`'"(])(\/work\/|\/home\/\w+\/|\/Users\/\w|\.\.\/shared\b)/,
      'a path of one machine; say it relative to the checkout',
    ],
    [/\b(sub-?agents?|as an AI|language model)\b/i, 'the project speaks of itself alone'],
  ]
  return words
    .filter(([pattern]) => pattern.test(line))
    .map(([pattern, fault]) => `${pattern.exec(line)?.[0].trim()}: ${fault}`)
}

/** Links of a page outside its code blocks, as written. */
function linksOf(path: string): string[] {
  const text = read(path).replace(/^```[\s\S]*?^```/gm, '')
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!).filter((link) => !/^[a-z]+:/.test(link))
}

function linkTargets(path: string): string[] {
  return linksOf(path).map((link) => posix.join(dirname(path), link.split('#')[0] || posix.basename(path)))
}

function linkFaults(path: string): string[] {
  const targets = linkTargets(path)
  return linksOf(path).flatMap((link, index) => {
    const target = targets[index]!
    const heading = link.split('#')[1]
    if (!existsSync(join(root, target))) return [`${path}: the link ${link} leads nowhere`]
    if (heading === undefined || !target.endsWith('.md')) return []
    const slugs = [...read(target).matchAll(/^#+ (.*)$/gm)].map((match) => slugOf(match[1]!))
    return slugs.includes(heading) ? [] : [`${path}: ${target} has no heading for #${heading}`]
  })
}

/** The anchor that code hosts give a heading. */
function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-')
}
