/**
 * The repository as the tidy rules see it: every TypeScript file as a syntax tree, with its imports and its functions.
 *
 * The trees come from the compiler that type-checks the project. Its programming interface is still marked unstable in
 * TypeScript 7, so it's used in this file alone, and the version in package.json is exact. A file that no tsconfig
 * includes has no tree: `parseSources` reports it, since nothing would type-check it either.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  isCallExpression,
  isExportDeclaration,
  isIdentifier,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isNoSubstitutionTemplateLiteral,
  isPropertyAccessExpression,
  isStringLiteral,
  isTemplateHead,
  type Node,
  type SourceFile,
  SyntaxKind,
} from 'typescript/unstable/ast'
import { API } from 'typescript/unstable/sync'

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

const skippedFolders = new Set(['node_modules', 'dist', 'data', 'coverage', '.git'])

/** Paths relative to the root, with `/`, of all files below `folder` whose name ends in one of `endings`. */
export function filesBelow(folder: string, endings: readonly string[]): string[] {
  const found: string[] = []
  let entries: ReturnType<typeof readEntries>
  try {
    entries = readEntries(folder)
  } catch {
    return found
  }
  for (const entry of entries) {
    const path = posix.join(folder, entry.name)
    if (entry.isDirectory()) {
      if (!skippedFolders.has(entry.name)) found.push(...filesBelow(path, endings))
    } else if (endings.some((ending) => entry.name.endsWith(ending))) found.push(path)
  }
  return found.sort()
}

function readEntries(folder: string) {
  return readdirSync(join(root, folder), { withFileTypes: true })
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

export interface Import {
  /** As written, for example `../mqtt/packet.ts` or `node:fs`. */
  specifier: string
  /** The repository path it names, or undefined for packages and `node:` modules. */
  target: string | undefined
  typeOnly: boolean
  line: number
}

export interface Source {
  path: string
  text: string
  tree: SourceFile
  imports: Import[]
  /** Other texts that look like relative paths: worker URLs, dynamic imports. A template gives its head, `complete: false`. */
  pathTexts: { text: string; complete: boolean }[]
}

export function parseSources(
  paths: readonly string[],
  projects: readonly string[],
): { sources: Source[]; unparsed: string[] } {
  const api = new API({ cwd: root })
  try {
    const programs = projects.flatMap((project) =>
      api
        .updateSnapshot({ openProject: join(root, project) })
        .getProjects()
        .map((opened) => opened.program),
    )
    const sources: Source[] = []
    const unparsed: string[] = []
    for (const path of paths) {
      const tree = programs.map((program) => program.getSourceFile(join(root, path))).find((found) => found)
      if (tree) sources.push(sourceOf(path, tree))
      else unparsed.push(path)
    }
    return { sources, unparsed }
  } finally {
    api.close()
  }
}

function sourceOf(path: string, tree: SourceFile): Source {
  const source: Source = { path, text: tree.text, tree, imports: [], pathTexts: [] }
  visit(tree, (node) => {
    const found = importOf(path, tree, node)
    if (found) source.imports.push(found)
    if (isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)) {
      if (/^\.{1,2}\//.test(node.text)) source.pathTexts.push({ text: node.text, complete: true })
    } else if (isTemplateHead(node) && /^\.{1,2}\//.test(node.text)) {
      source.pathTexts.push({ text: node.text, complete: false })
    }
  })
  return source
}

function importOf(path: string, tree: SourceFile, node: Node): Import | undefined {
  let specifier: Node | undefined
  let typeOnly = false
  if (isImportDeclaration(node)) {
    specifier = node.moduleSpecifier
    typeOnly = node.importClause?.phaseModifier === SyntaxKind.TypeKeyword
  } else if (isExportDeclaration(node)) {
    specifier = node.moduleSpecifier
    typeOnly = node.isTypeOnly
  } else if (isImportTypeNode(node)) {
    specifier = isLiteralTypeNode(node.argument) ? node.argument.literal : undefined
    typeOnly = true
  } else if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) {
    specifier = node.arguments[0]
  }
  if (!specifier || !isStringLiteral(specifier)) return undefined
  const text = specifier.text
  const target = text.startsWith('.') ? relative(root, resolve(root, dirname(path), text)) : undefined
  return { specifier: text, target, typeOnly, line: lineOf(tree, node) }
}

export function visit(node: Node, see: (node: Node) => void): void {
  see(node)
  node.forEachChild((child) => visit(child, see))
}

/** 1-based line of the node's first token. */
export function lineOf(tree: SourceFile, node: Node): number {
  return tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1
}

const functionKinds = new Set<SyntaxKind>([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
])

/** Every function with its length in lines, but those that hold tests, as a file does: bodies of `describe`, contract suites. */
export function functionsOf(source: Source): { name: string; line: number; lines: number; parameters: number }[] {
  const functions: { name: string; line: number; lines: number; parameters: number }[] = []
  visit(source.tree, (node) => {
    if (!functionKinds.has(node.kind) || !('body' in node) || !node.body || holdsTests(node)) return
    const line = lineOf(source.tree, node)
    const lastLine = source.tree.getLineAndCharacterOfPosition(node.end).line + 1
    const { parameters } = node as Node & { parameters?: readonly Node[] }
    functions.push({ name: nameOf(node), line, lines: lastLine - line + 1, parameters: parameters?.length ?? 0 })
  })
  return functions
}

function nameOf(node: Node): string {
  const named = node as Node & { name?: Node }
  if (named.name) return named.name.getText()
  const parent = node.parent as Node & { name?: Node }
  return parent.name && isIdentifier(parent.name) ? parent.name.text : 'a function without a name'
}

/** What defines a test here; `conformance` does so once per transport. */
const testDefiners = new Set(['it', 'test', 'conformance'])

/** Whether a test is defined below: `it(…)`, `it.each(…)(…)`, … */
function holdsTests(node: Node): boolean {
  let found = false
  visit(node, (inner) => {
    if (!isCallExpression(inner)) return
    let callee: Node = inner.expression
    while (isPropertyAccessExpression(callee) || isCallExpression(callee)) callee = callee.expression
    if (isIdentifier(callee) && testDefiners.has(callee.text)) found = true
  })
  return found
}
