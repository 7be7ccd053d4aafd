/** What a module exports, read from its source: each name with its kind, over re-exports too. */
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseSync } from 'vite'

/** Reads the source at a path from the root; throws where there is none. */
export type ReadSource = (path: string) => string

/** From the sources of the project. */
export function sourcesOf(root: string): ReadSource {
  return (path) => readFileSync(join(root, path), 'utf8')
}

/** The source that a target of `exports` in package.json is built from. */
export function sourceOf(target: string): string {
  return target.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts')
}

interface Declared {
  readonly type: string
  readonly kind?: string
  readonly id?: { readonly name: string } | null
  readonly declarations?: readonly { readonly id: { readonly name?: string } }[]
}

interface Statement extends Declared {
  readonly declaration?: Declared | null
  readonly source?: { readonly value: string } | null
}

interface Parsed {
  readonly body: readonly Statement[]
  readonly entries: readonly ExportEntry[]
}

interface ExportEntry {
  readonly exportName: { readonly name: string | null; readonly kind: string }
  readonly importName: { readonly name: string | null; readonly kind: string }
  readonly localName: { readonly name: string | null }
  readonly isType: boolean
  readonly moduleRequest: { readonly value: string } | null
}

function parse(path: string, read: ReadSource): Parsed {
  const { program, module, errors } = parseSync(path, read(path))
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`)
  const entries = module.staticExports.flatMap(({ entries: all }) => all)
  return {
    body: program.body as unknown as readonly Statement[],
    entries: entries as unknown as readonly ExportEntry[],
  }
}

const KINDS: Readonly<Record<string, string>> = {
  ClassDeclaration: 'class',
  FunctionDeclaration: 'function',
  TSDeclareFunction: 'function',
  TSInterfaceDeclaration: 'interface',
  TSTypeAliasDeclaration: 'type',
}

/** `name: kind` for each export of a module, sorted. What is exported `as type` says so. */
export function exportsOf(path: string, read: ReadSource): string[] {
  const lines = parse(path, read).entries.map((entry) => {
    if (entry.exportName.kind !== 'Name') throw new Error(`${path}: exports without a name`)
    const name = entry.exportName.name ?? ''
    const kind = kindOf(path, name, read)
    const isValue = kind === 'class' || kind === 'function' || kind === 'const'
    return `${name}: ${entry.isType && isValue ? `${kind}, its type only` : kind}`
  })
  return lines.sort()
}

/** The kind of what a module exports under a name, wherever that is declared. */
function kindOf(path: string, name: string, read: ReadSource): string {
  const { body, entries } = parse(path, read)
  const entry = entries.find(({ exportName }) => exportName.name === name)
  if (entry === undefined) throw new Error(`${path}: exports no ${name}`)
  if (entry.moduleRequest !== null) {
    const target = posix.join(posix.dirname(path), entry.moduleRequest.value)
    return kindOf(target, entry.importName.name ?? name, read)
  }
  const local = entry.localName.name ?? name
  for (const statement of body) {
    const declared = statement.declaration ?? statement
    if (declared.id?.name === local) return KINDS[declared.type] ?? declared.type
    if (declared.declarations?.some(({ id }) => id.name === local)) return declared.kind ?? ''
  }
  throw new Error(`${path}: ${local} is declared elsewhere`)
}
