/** `docs/architecture.md` and its pictures against the code that they describe. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { areaOf, PRODUCT, readFolders, withoutShortcuts } from '../tools/architecture/graph.ts'
import { layOut } from '../tools/architecture/layout.ts'
import { countLines } from '../tools/architecture/lines.ts'
import { drawPictures } from '../tools/architecture/pictures.ts'
import { loadSources, MOST_FILES } from './support/architecture.ts'
import {
  codeOf,
  deadNames,
  fieldsOf,
  linkOf,
  messageShapes,
  tableRows,
} from './support/architecture-page.ts'
import { PROJECT_ROOT } from './support/built.ts'

const page = readFileSync(join(PROJECT_ROOT, 'docs/architecture.md'), 'utf8')
const folders = readFolders(PROJECT_ROOT)
const pictures = drawPictures(folders)

describe('the pictures', () => {
  it.each([...pictures])('%s is the one that the code gives', (path, text) => {
    const drawn = existsSync(join(PROJECT_ROOT, path))
      ? readFileSync(join(PROJECT_ROOT, path), 'utf8')
      : ''
    expect(drawn === text, `run "npm run architecture -- --svg", which writes ${path}`).toBe(true)
  })

  it('are all shown on the page, and no other is kept', () => {
    const kept = readdirSync(join(PROJECT_ROOT, 'docs')).filter((name) =>
      /^architecture.*\.svg$/.test(name),
    )
    expect(kept.map((name) => `docs/${name}`).sort()).toEqual([...pictures.keys()].sort())
    for (const name of kept) expect(page).toContain(`](${name})`)
  })
})

describe('the list of folders', () => {
  const rows = tableRows(page, 'folder')

  it('has every folder once, and no other', () => {
    expect(rows.map(([folder = '']) => codeOf(folder)).sort()).toEqual(
      folders.map(({ path }) => path).sort(),
    )
  })

  it('names for each a file that lies in it, an idea and an invariant', () => {
    for (const [folder = '', idea = '', entry = '', invariant = ''] of rows) {
      const path = codeOf(folder)
      const files = folders.find((each) => each.path === path)?.files ?? []
      expect(
        files.map((name) => `${path}/${name}`),
        `entry of ${path}`,
      ).toContain(linkOf(entry))
      expect(idea, `idea of ${path}`).toMatch(/^\S.*\.$/)
      expect(invariant, `invariant of ${path}`).toMatch(/^\S.*\.$/)
    }
  })

  it('says how many files a folder may have', () => {
    expect(page).toContain(`at most ${MOST_FILES} files`)
  })
})

describe('the table of stream messages', () => {
  const WIRE = 'src/core/wire'
  /** Fields that an interface has in memory only, or under another name than on the wire. */
  const SPELLED: Readonly<Record<string, string | undefined>> = {
    'offer flaw?': undefined,
    'grant isTwin?': 'twin?',
  }
  const told = tableRows(page, 'message').map(([message = '', , , fields = '']) =>
    [codeOf(message), linkOf(message), fieldsOf(fields).sort().join(' ')].join(': '),
  )

  it('has every message of the code with its fields, and no other', () => {
    const messages = messageShapes(loadSources(PROJECT_ROOT, [WIRE])).map(
      ({ kind, path, fields }) => {
        const spelled = fields.flatMap((field) => {
          const name = `${kind} ${field}`
          return Object.hasOwn(SPELLED, name) ? (SPELLED[name] ?? []) : field
        })
        return [kind, path, spelled.sort().join(' ')].join(': ')
      },
    )
    expect(messages.length).toBeGreaterThan(20)
    const onBus = told.filter((message) => message.startsWith('batch: '))
    expect(onBus).toEqual([`batch: ${WIRE}/bus.ts: ack? epoch from records? to`])
    expect(told.filter((message) => !onBus.includes(message)).sort()).toEqual(messages.sort())
  })
})

describe('comments', () => {
  it('name only files that are there', () => {
    const files = loadSources(PROJECT_ROOT, PRODUCT)
    const others = loadSources(PROJECT_ROOT, ['test', 'ui', 'bench', 'examples'])
    const known = [...files, ...others].map(({ path }) => path)
    expect(deadNames(files, known)).toEqual([])
  })

  it('that name what is gone are found', () => {
    const text =
      "/** See `b/c.ts`, and x.ts. */\nimport './y.ts' // c.ts, d/c.ts\nexport const a = 'z.ts'"
    expect(deadNames([{ path: 'a.ts', text }], ['a/b/c.ts'])).toEqual([
      'a.ts: x.ts',
      'a.ts: d/c.ts',
    ])
  })
})

describe('the tools themselves', () => {
  it('draw no line that a longer way stands for', () => {
    const edges = new Map([
      ['a', ['b', 'c', 'd']],
      ['b', ['c']],
      ['c', []],
      ['d', []],
    ])
    expect([...withoutShortcuts(edges)]).toEqual([
      ['a', ['b', 'd']],
      ['b', ['c']],
      ['c', []],
      ['d', []],
    ])
  })

  it('place boxes above what they import, and none upon another', () => {
    const size = { width: 100, height: 40 }
    const sizes = new Map(['a', 'b', 'c', 'd'].map((id) => [id, size]))
    const edges = new Map([
      ['a', ['b', 'd']],
      ['b', ['c']],
      ['c', ['d']],
    ])
    const { boxes, lines, width, height } = layOut(sizes, edges)
    const at = new Map(boxes.map((box) => [box.id, box]))
    for (const { from, to } of lines) {
      expect(at.get(from)?.y).toBeLessThan(at.get(to)?.y ?? 0)
    }
    const middle = at.get('b')
    const long = lines.find(({ from, to }) => from === 'a' && to === 'd')
    expect(long?.points).toHaveLength(6)
    for (const { x, y } of long?.points ?? []) {
      const isInside =
        middle && Math.abs(x - middle.x - 50) < 50 && Math.abs(y - middle.y - 20) < 20
      expect(isInside, 'the long line crosses b').toBe(false)
    }
    for (const box of boxes) {
      expect(box.x + box.width).toBeLessThanOrEqual(width + 0.01)
      expect(box.y + box.height).toBeLessThanOrEqual(height + 0.01)
    }
  })

  it('find the area of a folder, and say when there is none', () => {
    expect(areaOf('postgres/connection')).toBe('postgres/connection')
    expect(areaOf('postgres/tables')).toBe('postgres')
    expect(areaOf('src')).toBe('src')
    expect(() => areaOf('elsewhere')).toThrow('elsewhere belongs to no area')
  })

  it('count lines of code apart from comments and blank ones', () => {
    const text =
      '/** A\n * b. */\n\nexport const a = `\n// text\n\n` // c\n/* d */ export const b = 1\n'
    expect(countLines('a.ts', text)).toEqual({ files: 1, all: 8, filled: 6, code: 4 })
  })

  it('read fields of messages with those of their bases', () => {
    const file = (path: string, text: string) => ({ path, text })
    const files = [
      file('a.ts', "export interface A extends B { readonly t: 'a'; readonly one: number }"),
      file('b.ts', 'export interface B { readonly two?: string }\nexport type C = string'),
    ]
    expect(messageShapes(files)).toEqual([{ kind: 'a', path: 'a.ts', fields: ['one', 'two?'] }])
    expect(() => messageShapes(files.slice(0, 1))).toThrow('no interface B')
  })
})
