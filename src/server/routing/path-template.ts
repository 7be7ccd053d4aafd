/**
 * Path templates of endpoints and proxies: literal text, `{name}` for one segment, `{name:regex}` for
 * what the expression matches. They match whole, percent-decoded paths; a trailing slash counts.
 */
import { errorText, StateError } from '../../core/errors.ts'

/** What a template captured, by variable name. */
export type PathVariables = Readonly<Record<string, string>>

export interface PathTemplate {
  readonly text: string
  /** Name of each variable, with the text between its braces, in order. */
  readonly variables: ReadonlyMap<string, string>
  /** undefined when `path`, which starts with `/`, is not covered. */
  match(path: string): PathVariables | undefined
}

/**
 * Compiles a template. Expressions are JavaScript's, anchored; how long one may run is up to who
 * writes it.
 * @throws StateError `invalid_option` naming the template and what is wrong with it.
 */
export function compileTemplate(text: string): PathTemplate {
  if (!text.startsWith('/')) throw refusal(text, 'it must start with /')
  const variables = new Map<string, string>()
  let source = ''
  for (let at = 0; at < text.length; ) {
    const open = text.indexOf('{', at)
    const literal = open === -1 ? text.slice(at) : text.slice(at, open)
    if (literal.includes('}')) throw refusal(text, 'a brace is not opened')
    source += literal.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
    if (open === -1) break
    const close = closingBrace(text, open)
    const inside = text.slice(open + 1, close)
    source += `(?<v${variables.size}>${expressionOf(text, inside, variables)})`
    at = close + 1
  }
  const expression = compile(text, `^(?:${source})$`)
  const names = [...variables.keys()]
  return {
    text,
    variables,
    match: (path) => {
      const groups = expression.exec(path)
      if (groups === null) return undefined
      return Object.fromEntries(names.map((name, i) => [name, groups.groups?.[`v${i}`] ?? '']))
    },
  }
}

/** The source for what is between two braces; notes the variable. */
function expressionOf(text: string, inside: string, variables: Map<string, string>): string {
  const colon = inside.indexOf(':')
  const name = colon === -1 ? inside : inside.slice(0, colon)
  const source = colon === -1 ? '[^/]+' : inside.slice(colon + 1)
  if (name === '' || source === '') throw refusal(text, 'a variable lacks its name or expression')
  if (variables.has(name)) throw refusal(text, `it has two variables "${name}"`)
  // Alone first: an expression such as `a)(b` would become valid inside the others' brackets.
  compile(text, source)
  variables.set(name, inside)
  return source
}

/** Braces inside an expression, such as `[0-9]{4}`, belong to it when they pair up. */
function closingBrace(text: string, open: number): number {
  let depth = 0
  for (let i = open; i < text.length; i++) {
    if (text[i] === '{') depth++
    if (text[i] === '}' && --depth === 0) return i
  }
  throw refusal(text, 'a brace is not closed')
}

function compile(text: string, source: string): RegExp {
  try {
    return new RegExp(source)
  } catch (cause) {
    throw refusal(text, errorText(cause))
  }
}

function refusal(text: string, why: string): StateError {
  return new StateError('invalid_option', `ooo: path template "${text}" is refused: ${why}`)
}
