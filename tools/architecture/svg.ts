/**
 * A layout as SVG text. It has its own background and follows the viewer's light or dark mode, so it can be read on
 * any page. Letters have one width, so that texts are as wide as they were taken to be.
 */
import type { Layout, Line } from './layout.ts'

export interface DrawnBox {
  readonly title: string
  /** Stands under the title, paler. */
  readonly note: string
  readonly columns: readonly (readonly string[])[]
}

export interface Picture {
  readonly title: string
  /** Sentences under the title. */
  readonly caption: readonly string[]
  readonly boxes: ReadonlyMap<string, DrawnBox>
  readonly layout: Layout
}

export const LINE_HEIGHT = 16
const LETTER = 6.65
const MARGIN = 28
const INSET = 12
/** Colours of arrows: one for each importing box in turn, so that a line can be followed with the eye. */
const LIGHT = [
  '#0969da',
  '#bc4c00',
  '#1a7f37',
  '#8250df',
  '#bf3989',
  '#9a6700',
  '#0f7b83',
  '#57606a',
]
const DARK = [
  '#58a6ff',
  '#ff9e64',
  '#56d364',
  '#bc8cff',
  '#ff8bc7',
  '#e3b341',
  '#4dd0d8',
  '#9ea7b3',
]

/** How wide a text of the usual size is. */
export function widthOf(text: string): number {
  return text.length * LETTER
}

export function drawSvg({ title, caption, boxes, layout }: Picture): string {
  const texts = [title, ...caption].map((line) => widthOf(line) * 1.1)
  const head = MARGIN + (caption.length + 1) * (LINE_HEIGHT + 4) + 14
  const width = Math.ceil(Math.max(layout.width, ...texts) + 2 * MARGIN)
  const height = Math.ceil(layout.height + head + MARGIN)
  const shift = Math.round((width - layout.width) / 2)
  const colours = new Map(layout.boxes.map(({ id }, index) => [id, index % LIGHT.length]))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">`,
    styles(),
    `<defs>${LIGHT.map((_, index) => arrowHead(index)).join('')}</defs>`,
    `<rect class="page" width="${width}" height="${height}" rx="8"/>`,
    `<text class="head" x="${MARGIN}" y="${MARGIN + 8}">${escapeXml(title)}</text>`,
    ...caption.map(
      (line, index) =>
        `<text class="note" x="${MARGIN}" y="${MARGIN + 8 + (index + 1) * (LINE_HEIGHT + 4)}">${escapeXml(line)}</text>`,
    ),
    `<g transform="translate(${shift} ${head})">`,
    ...layout.lines.map((line) => drawLine(line, colours.get(line.from) ?? 0)),
    ...layout.boxes.map(({ id, x, y, width, height }) => {
      const box = boxes.get(id)
      if (box === undefined) throw new Error(`no texts for ${id}`)
      return drawBox(box, { x: round(x), y: round(y), width, height }, colours.get(id) ?? 0)
    }),
    '</g>',
    '</svg>',
    '',
  ].join('\n')
}

function styles(): string {
  const colour = (colours: readonly string[]): string =>
    colours.map((value, i) => `.c${i}{stroke:${value}}.a${i}{fill:${value}}`).join('')
  return [
    '<style>',
    'text{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1f2328}',
    '.title{font-size:13px;font-weight:700}.head{font-size:17px;font-weight:700}.note{fill:#59636e}',
    '.page{fill:#ffffff}.box{fill:#f6f8fa;stroke-width:1.5}.line{fill:none;stroke-width:1.5}',
    colour(LIGHT),
    '@media (prefers-color-scheme:dark){',
    'text{fill:#e6edf3}.note{fill:#9198a1}.page{fill:#0d1117}.box{fill:#161b22}',
    colour(DARK),
    '}',
    '</style>',
  ].join('\n')
}

function arrowHead(index: number): string {
  return `<marker id="m${index}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="a${index}" d="M0 0L8 4L0 8z"/></marker>`
}

function drawLine({ from, to, points }: Line, colour: number): string {
  const [first, ...rest] = points
  if (first === undefined) return ''
  let path = `M${round(first.x)} ${round(first.y)}`
  let last = first
  for (const [index, point] of rest.entries()) {
    const middle = (last.y + point.y) / 2
    // Every second piece passes a layer, straight down.
    path +=
      index % 2 === 1
        ? `V${round(point.y)}`
        : `C${round(last.x)} ${round(middle)} ${round(point.x)} ${round(middle)} ${round(point.x)} ${round(point.y)}`
    last = point
  }
  return `<path class="line c${colour}" marker-end="url(#m${colour})" d="${path}"><title>${escapeXml(from)} imports ${escapeXml(to)}</title></path>`
}

function drawBox(
  { title, note, columns }: DrawnBox,
  { x, y, width, height }: { x: number; y: number; width: number; height: number },
  colour: number,
): string {
  const text = (kind: string, left: number, row: number, content: string): string =>
    `<text class="${kind}" x="${round(left)}" y="${round(y + INSET + 6 + row * LINE_HEIGHT)}">${escapeXml(content)}</text>`
  const lists: string[] = []
  let left = x + INSET
  for (const column of columns) {
    for (const [row, content] of column.entries()) lists.push(text('item', left, row + 2, content))
    left += Math.max(...column.map(widthOf)) + INSET
  }
  return [
    `<rect class="box c${colour}" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`,
    text('title', x + INSET, 0, title),
    text('note', x + INSET, 1, note),
    ...lists,
  ].join('')
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
