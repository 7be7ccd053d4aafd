/**
 * The folders of the product and what they import of each other, read from the code.
 *
 *   npm run architecture              as text
 *   npm run architecture -- --svg     writes the pictures of docs/architecture.md
 *   npm run architecture -- --lines   lines by area; with --root, of another checkout
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'

const HERE = join(import.meta.dirname, 'architecture')
/** Node 20 can not read TypeScript; vite can. */
const load = async (name) => (await runnerImport(join(HERE, name))).module

const { values } = parseArgs({
  options: {
    svg: { type: 'boolean' },
    lines: { type: 'boolean' },
    root: { type: 'string', default: join(import.meta.dirname, '..') },
  },
})
// Whoever reads may have seen enough, as `head` has.
process.stdout.on('error', () => process.exit())
const { AREAS, PRODUCT, readFolders } = await load('graph.ts')

if (values.lines) {
  const { linesByPart } = await load('lines.ts')
  printLines(linesByPart(values.root, PRODUCT))
} else if (values.svg) {
  const { drawPictures } = await load('pictures.ts')
  for (const [path, text] of drawPictures(readFolders(values.root))) {
    writeFileSync(join(values.root, path), text)
    console.log(path)
  }
} else {
  printFolders(readFolders(values.root))
}

function printFolders(folders) {
  for (const area of AREAS) {
    const own = folders.filter((folder) => folder.area === area)
    if (own.length > 0) console.log(`\n${area}`)
    for (const { path, files, lines, imports } of own) {
      const amount = [String(files.length).padStart(4), String(lines.all).padStart(7)]
      console.log(`  ${path.padEnd(26)}${amount[0]} files${amount[1]} lines`)
      if (imports.length > 0) console.log(`      imports ${imports.join(', ')}`)
    }
  }
}

/** All lines, those that are not blank, and those that hold code and not only comments. */
function printLines(parts) {
  const row = (...cells) => {
    console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(18) : cell.padStart(10))).join(''))
  }
  row('', 'files', 'lines', 'not blank', 'code')
  for (const [part, count] of parts) {
    row(part, ...['files', 'all', 'filled', 'code'].map((key) => count[key].toLocaleString('en')))
  }
}
