/** Options as the docblocks of their interfaces tell them: name, default and meaning, and tables of those. */
import { parseSync } from 'vite'

export interface OptionRow {
  readonly name: string
  /** What the docblock says, `required` where the option has to be given; undefined when it says nothing. */
  readonly fallback: string | undefined
  readonly meaning: string
}

interface Comment {
  readonly value: string
  readonly start: number
  readonly end: number
}

interface Member {
  readonly type: string
  readonly key?: { readonly name?: string }
  readonly optional?: boolean
  readonly start: number
}

interface Statement {
  readonly type: string
  readonly id?: { readonly name: string }
  readonly body?: { readonly body: readonly Member[] }
  readonly declaration?: Statement | null
}

/** The options of one interface of a source, in order; those that it inherits are of another. */
export function optionsOf(path: string, text: string, name: string): OptionRow[] {
  const { program, comments, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`)
  const statements = program.body as unknown as readonly Statement[]
  const found = statements
    .map((statement) => statement.declaration ?? statement)
    .find(({ type, id }) => type === 'TSInterfaceDeclaration' && id?.name === name)
  if (found === undefined) throw new Error(`${path}: declares no interface ${name}`)
  return (found.body?.body ?? []).map((member) => {
    if (member.type !== 'TSPropertySignature') throw new Error(`${path}: ${name} has a method`)
    const { fallback, meaning } = readDocblock(docblockBefore(text, comments, member.start))
    return {
      name: member.key?.name ?? '',
      fallback: fallback ?? (member.optional === true ? undefined : 'required'),
      meaning,
    }
  })
}

/** The text of the comment that ends where a member begins; empty when there is none. */
function docblockBefore(text: string, comments: readonly Comment[], start: number): string {
  const comment = comments.findLast(({ end }) => end <= start)
  if (comment === undefined || text.slice(comment.end, start).trim() !== '') return ''
  return comment.value
    .replace(/^\*/, '')
    .replace(/\s*\n\s*\*?\s*/g, ' ')
    .trim()
}

/** "TCP port. Default 8800; 0 takes any free one." is `8800`, and "TCP port. 0 takes any free one." */
function readDocblock(docblock: string): { fallback: string | undefined; meaning: string } {
  const found = /\bDefault:?\s+(.+?)(?:[.;](?=\s|$)|$)\s*/.exec(docblock)
  if (found === null) return { fallback: undefined, meaning: docblock }
  const before = docblock.slice(0, found.index).trim()
  const after = docblock.slice(found.index + found[0].length).trim()
  const rest = after === '' ? '' : `${after[0]?.toUpperCase()}${after.slice(1)}`
  return { fallback: found[1], meaning: `${before} ${rest}`.trim() }
}

/** A table of Markdown. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cellText).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** A bar would end the cell, and what looks like a tag would not be shown. */
function cellText(text: string): string {
  const parts = text.replaceAll('|', '\\|').split('`')
  return parts.map((part, i) => (i % 2 === 0 ? part.replaceAll('<', '&lt;') : part)).join('`')
}

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  days: 24 * 3_600_000,
  KiB: 1024,
  MiB: 1024 * 1024,
  Mi: 1024 * 1024,
}
const NUMBER = /(\d+(?:[ ,]\d{3})*)(?: (ms|s|days|KiB|MiB|Mi)\b)?/

/** The value that the text of a default states; undefined where it only describes one. */
export function statedValue(text: string): { readonly value: unknown } | undefined {
  if (text === 'true' || text === 'false') return { value: text === 'true' }
  const quoted = /^`([^`]+)`$/.exec(text)?.[1]
  if (quoted !== undefined) return { value: quoted }
  if (/^none\b/.test(text)) return { value: undefined }
  if (!/^\d/.test(text)) return undefined
  const [, digits = '', unit = 'ms'] = NUMBER.exec(text) ?? []
  return { value: Number(digits.replace(/[ ,]/g, '')) * (UNITS[unit] ?? 1) }
}

/** First and greatest delay that a text states, milliseconds: "100 ms doubling to 5 s". */
export function statedDelays(text: string): number[] {
  const found = text.matchAll(new RegExp(NUMBER, 'g'))
  return [...found].map(
    ([, digits = '', unit = 'ms']) => Number(digits.replace(/[ ,]/g, '')) * (UNITS[unit] ?? 1),
  )
}
