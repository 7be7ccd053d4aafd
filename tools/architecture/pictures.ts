/** The pictures of `docs/architecture.md`, as SVG: the whole by areas, and each large area by folders. */
import { posix } from 'node:path'
import { AREAS, areaEdges, areaOf, edgesWithin, type Folder, withoutShortcuts } from './graph.ts'
import { layOut, type Size } from './layout.ts'
import { type DrawnBox, drawSvg, LINE_HEIGHT, widthOf } from './svg.ts'

/** An area with more folders than this has a picture of its own. */
const MOST_FOLDERS = 5
/** What an area's folders import most: said once, not in each box. */
const LEFT_OUT = 'src/core'
const PADDING = 12
const ROWS_OF_AREA = 6

/** The text of each picture by its path from the root. */
export function drawPictures(folders: readonly Folder[]): Map<string, string> {
  const pictures = new Map([['docs/architecture.svg', drawAreas(folders)]])
  for (const area of AREAS) {
    const own = folders.filter((folder) => folder.area === area)
    if (own.length > MOST_FOLDERS) pictures.set(pictureOf(area), drawFolders(area, own))
  }
  return pictures
}

function pictureOf(area: string): string {
  return `docs/architecture-${posix.basename(area)}.svg`
}

/** One box for each area, with the names of its folders. */
function drawAreas(folders: readonly Folder[]): string {
  const boxes = new Map<string, DrawnBox>()
  const sizes = new Map<string, Size>()
  for (const area of AREAS) {
    const own = folders.filter((folder) => folder.area === area)
    if (own.length === 0) continue
    const names = own.map(({ path }) => shortName(path, area)).filter((name) => name !== '')
    const columns = columnsOf(names, ROWS_OF_AREA)
    const head = [area === 'src' ? 'src/index.ts' : area, amountOf(own)]
    boxes.set(area, { title: head[0] ?? '', note: head[1] ?? '', columns })
    sizes.set(area, sizeOf(boxes.get(area)))
  }
  return drawSvg({
    title: 'The areas of the product',
    caption: [
      'An arrow means: files of the upper area import files of the lower one.',
      'Where a longer way of arrows says the same, the direct arrow is left out.',
    ],
    boxes,
    layout: layOut(sizes, withoutShortcuts(areaEdges(folders))),
  })
}

/** One box for each folder of an area. */
function drawFolders(area: string, folders: readonly Folder[]): string {
  const boxes = new Map<string, DrawnBox>()
  const sizes = new Map<string, Size>()
  for (const folder of folders) {
    const outside = [...new Set(folder.imports.map(areaOf))]
      .filter((other) => other !== area && other !== LEFT_OUT)
      .map((other) => other.replace(/^src\//, ''))
      .sort()
    const columns = outside.length === 0 ? [] : columnsOf([`+ ${outside.join(', ')}`], 1)
    const title = shortName(folder.path, area) || `${posix.basename(area)}/`
    boxes.set(folder.path, { title, note: amountOf([folder]), columns })
    sizes.set(folder.path, sizeOf(boxes.get(folder.path)))
  }
  const isOutside = folders.some(({ imports }) =>
    imports.some((target) => ![area, LEFT_OUT].includes(areaOf(target))),
  )
  return drawSvg({
    title: `The folders of ${area}`,
    caption: [
      'An arrow means: files of the upper folder import files of the lower one.',
      'Where a longer way of arrows says the same, the direct arrow is left out.',
      ...(isOutside
        ? [`After + stand the other areas that a folder imports, ${LEFT_OUT} aside.`]
        : []),
    ],
    boxes,
    layout: layOut(sizes, withoutShortcuts(edgesWithin(folders))),
  })
}

function shortName(path: string, area: string): string {
  return path === area ? '' : path.slice(area.length + 1)
}

/** No lines: a picture would be out of date after each change of the code. */
function amountOf(folders: readonly Folder[]): string {
  const files = folders.reduce((sum, folder) => sum + folder.files.length, 0)
  const amount = files === 1 ? '1 file' : `${files} files`
  return folders.length > 1 ? `${folders.length} folders · ${amount}` : amount
}

function columnsOf(texts: readonly string[], rows: number): string[][] {
  const columns: string[][] = []
  for (let start = 0; start < texts.length; start += rows) {
    columns.push(texts.slice(start, start + rows))
  }
  return columns
}

function sizeOf(box: DrawnBox | undefined): Size {
  if (box === undefined) throw new Error('no box')
  const columns = box.columns.map((column) => Math.max(...column.map(widthOf)))
  const list = columns.reduce((sum, width) => sum + width + PADDING, -PADDING)
  const rows = 2 + Math.max(0, ...box.columns.map((column) => column.length))
  return {
    width: Math.ceil(Math.max(widthOf(box.title) * 1.2, widthOf(box.note), list) + 2 * PADDING),
    height: rows * LINE_HEIGHT + PADDING,
  }
}
