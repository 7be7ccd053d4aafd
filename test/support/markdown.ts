/** Reads what a Markdown page promises: code, commands, links. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

export interface CodeBlock {
  /** Word after the fence, lower case; empty when there is none. */
  readonly language: string
  readonly code: string
  /** Line of the opening fence, counted from 1. */
  readonly line: number
}

/** Folders whose pages are not the project's own. */
const FOREIGN = new Set(['node_modules', 'dist', 'data', '.git'])

/** Every Markdown file below the root, by path from it. */
export function markdownFiles(root: string, folder = ''): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name)
    if (entry.isDirectory()) return FOREIGN.has(entry.name) ? [] : markdownFiles(root, path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

/** The fenced blocks of a page, in order. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  let open: { fence: string; language: string; line: number; lines: string[] } | undefined
  for (const [index, text] of markdown.split('\n').entries()) {
    const [, fence = '', info = ''] = /^\s*(```+|~~~+)\s*(\S*)/.exec(text) ?? []
    if (open === undefined) {
      if (fence === '') continue
      open = { fence, language: info.toLowerCase(), line: index + 1, lines: [] }
    } else if (fence.startsWith(open.fence) && info === '') {
      blocks.push({ language: open.language, code: open.lines.join('\n'), line: open.line })
      open = undefined
    } else {
      open.lines.push(text)
    }
  }
  return blocks
}

/** A page without its fenced blocks. */
function prose(markdown: string): string {
  return markdown.replace(/^\s*(```+|~~~+)[\s\S]*?^\s*\1\s*$/gm, '')
}

/** Targets of links and images, outside of code. */
export function linkTargets(markdown: string): string[] {
  const text = prose(markdown).replace(/`[^`\n]*`/g, '')
  const inline = [...text.matchAll(/\]\(\s*<?([^)\s>]+)/g)]
  const references = [...text.matchAll(/^\s*\[[^\]]+\]:\s*<?(\S+?)>?\s*$/gm)]
  return [...inline, ...references].flatMap((match) => match[1] ?? [])
}

/** The anchors that the headings of a page make. */
export function headingAnchors(markdown: string): string[] {
  return [...prose(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  )
}

/** Links of a page that lead to no file, folder or heading of the project. */
export function brokenLinks(root: string, page: string, markdown: string): string[] {
  return linkTargets(markdown).flatMap((target) => {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return []
    const [file = '', anchor] = decodeURIComponent(target).split('#', 2)
    const path = file === '' ? page : posix.join(posix.dirname(page), file)
    const text = path === page ? markdown : readIfThere(join(root, path))
    if (text === undefined) return [`${page}: ${target} leads nowhere`]
    if (anchor === undefined || !path.endsWith('.md')) return []
    return headingAnchors(text).includes(anchor) ? [] : [`${page}: ${target} names no heading`]
  })
}

/** The text of a file, the empty text for a folder, undefined for neither. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') return ''
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** npm scripts that a page names, as in `npm run types` or `npm test`. */
export function npmScripts(markdown: string): string[] {
  const run = [...markdown.matchAll(/\bnpm run ([a-z][\w:-]*)/g)].flatMap((match) => match[1] ?? [])
  const short = [...markdown.matchAll(/\bnpm (test|start|t)\b/g)].map((match) =>
    match[1] === 't' ? 'test' : (match[1] ?? ''),
  )
  return [...new Set([...run, ...short])]
}

/** A use of the `ooo` command. */
export interface CommandUse {
  readonly command: string
  readonly flags: readonly string[]
}

/** Uses of the command in shell blocks, as `npx ooo …`, `ooo …` or `node dist/cli/main.js …`. */
export function commandUses(markdown: string): CommandUse[] {
  const shell = codeBlocks(markdown).filter(({ language }) =>
    /^(sh|bash|shell|console)$/.test(language),
  )
  const lines = shell.flatMap(({ code }) => code.replace(/\\\n/g, ' ').split('\n'))
  return lines.flatMap((line) => {
    const use = /^[\s$]*(?:\w+=\S+ )*(?:npx ooo|ooo|node dist\/cli\/main\.js) ([a-z]+)(.*)$/.exec(
      line,
    )
    if (use === null) return []
    const flags = [...(use[2] ?? '').matchAll(/(?:^|\s)--([a-z\d-]+)/g)].flatMap((m) => m[1] ?? [])
    return [{ command: use[1] ?? '', flags }]
  })
}
