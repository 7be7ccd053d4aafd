/** Reads what `docs/architecture.md` says of the code, and from the code what it has to say. */
import { parseSync } from 'vite'
import type { SourceFile } from './architecture.ts'

/** A row of a table, as the texts of its cells. */
export type Cells = readonly string[]

/** The rows of every table of a page whose head begins with this cell. */
export function tableRows(markdown: string, firstCell: string): Cells[] {
  const rows: Cells[] = []
  let isWanted = false
  let isHead = true
  for (const line of markdown.split('\n')) {
    if (!line.startsWith('|')) {
      isHead = true
      continue
    }
    const cells = line.split('|').slice(1, -1)
    const texts = cells.map((cell) => cell.trim())
    if (isHead) isWanted = texts[0] === firstCell
    else if (isWanted && !/^-+$/.test(texts[0] ?? '')) rows.push(texts)
    isHead = false
  }
  return rows
}

/** The text between the first pair of backticks; empty when there is none. */
export function codeOf(cell: string): string {
  return /`([^`]+)`/.exec(cell)?.[1] ?? ''
}

/** The names of fields in a cell, such as `` `a`, `b`? ``: with `?` behind it one may be absent. */
export function fieldsOf(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`(\?)?/g)].map(([, name, mark = '']) => `${name}${mark}`)
}

/** Where the target of the first link of a cell is, from the root of the project; empty without one. */
export function linkOf(cell: string): string {
  return /\]\(\.\.\/([^)]+)\)/.exec(cell)?.[1] ?? ''
}

/** A message as its interface has it. */
export interface MessageShape {
  /** The value of its field `t`. */
  readonly kind: string
  /** File of the interface. */
  readonly path: string
  /** Names of the fields but `t`, those that may be absent with `?` behind; sorted. */
  readonly fields: readonly string[]
}

interface Declared {
  readonly path: string
  readonly kind: string | undefined
  readonly fields: readonly string[]
  readonly bases: readonly string[]
}

/** Every message that the files declare: the interfaces whose field `t` is a literal, bases included. */
export function messageShapes(files: readonly SourceFile[]): MessageShape[] {
  const declared = new Map(files.flatMap(declaredIn))
  const allFields = ({ fields, bases }: Declared): string[] => [
    ...fields,
    ...bases.flatMap((base) => {
      const found = declared.get(base)
      if (found === undefined) throw new Error(`no interface ${base} among the messages`)
      return allFields(found)
    }),
  ]
  return [...declared.values()].flatMap((each) =>
    each.kind === undefined
      ? []
      : [{ kind: each.kind, path: each.path, fields: allFields(each).sort() }],
  )
}

/** What is read of the syntax tree. */
interface Syntax {
  readonly type: string
  readonly id?: { readonly name: string }
  readonly declaration?: Syntax
  readonly extends?: readonly { readonly expression: { readonly name: string } }[]
  readonly body?: { readonly body: readonly Member[] }
}

interface Member {
  readonly optional?: boolean
  readonly key?: { readonly name: string }
  readonly typeAnnotation?: {
    readonly typeAnnotation: { readonly literal?: { readonly value: unknown } }
  }
}

function declaredIn({ path, text }: SourceFile): [string, Declared][] {
  const { program } = parseSync(path, text)
  return (program.body as unknown as readonly Syntax[]).flatMap((node): [string, Declared][] => {
    const found = node.declaration ?? node
    if (found.type !== 'TSInterfaceDeclaration' || found.id === undefined) return []
    const members = found.body?.body ?? []
    const tag = members.find(({ key }) => key?.name === 't')
    const literal = tag?.typeAnnotation?.typeAnnotation.literal?.value
    const fields = members.flatMap(({ key, optional }) =>
      key === undefined || key.name === 't' ? [] : [`${key.name}${optional === true ? '?' : ''}`],
    )
    const bases = (found.extends ?? []).map(({ expression }) => expression.name)
    const kind = typeof literal === 'string' ? literal : undefined
    return [[found.id.name, { path, kind, fields, bases }]]
  })
}

/**
 * Files that comments name and that are not there, as `file: name`. A name is a whole path or the end of one.
 * @param known paths of every file that may be named
 */
export function deadNames(files: readonly SourceFile[], known: readonly string[]): string[] {
  const ends = new Set(known.flatMap(endsOf))
  return files.flatMap(({ path, text }) => {
    const { comments } = parseSync(path, text)
    const names = comments.flatMap(({ value }) => value.match(/[\w-][\w./-]*\.ts\b/g) ?? [])
    return [...new Set(names)].filter((name) => !ends.has(name)).map((name) => `${path}: ${name}`)
  })
}

/** `a/b/c.ts` ends with itself, with `b/c.ts` and with `c.ts`. */
function endsOf(path: string): string[] {
  const parts = path.split('/')
  return parts.map((_, start) => parts.slice(start).join('/'))
}
