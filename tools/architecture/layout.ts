/**
 * Places the boxes of a graph in layers, importers above what they import.
 *
 * 1. A box stands one layer above the highest box that it imports.
 * 2. An edge over several layers gets a point in each layer between, so that it finds its way past the boxes.
 * 3. Each layer is sorted by the mean place of its neighbours, from above and from below in turn; the order with
 *    the fewest crossings is kept.
 * 4. Boxes move towards their neighbours as far as the order and the gaps let them.
 */
import type { Edges } from './graph.ts'

export interface Size {
  readonly width: number
  readonly height: number
}

export interface Box extends Size {
  readonly id: string
  /** Left upper corner. */
  readonly x: number
  readonly y: number
}

export interface Point {
  readonly x: number
  readonly y: number
}

export interface Line {
  readonly from: string
  readonly to: string
  /** From the lower side of one box to the upper side of the other; two for each layer that it crosses. */
  readonly points: readonly Point[]
}

export interface Layout extends Size {
  readonly boxes: readonly Box[]
  readonly lines: readonly Line[]
}

interface Cell {
  readonly id: string
  readonly layer: number
  readonly width: number
  readonly height: number
  /** A point of a long edge, no box. */
  readonly isPoint: boolean
  readonly above: Cell[]
  readonly below: Cell[]
  /** Middle. */
  x: number
  y: number
}

interface Chain {
  readonly from: string
  readonly to: string
  readonly cells: readonly Cell[]
}

const GAP = 22
const POINT_GAP = 14
const LAYER_GAP = 54
const SWEEPS = 40

/** Places every box of `sizes`. The graph must have no circle. */
export function layOut(sizes: ReadonlyMap<string, Size>, edges: Edges): Layout {
  const { layers, chains } = makeLayers(sizes, edges)
  sortLayers(layers)
  for (let round = 0; round < SWEEPS; round += 1) {
    for (const layer of layers) moveLayer(layer, round % 2 === 0 ? 'above' : 'below')
  }
  for (const layer of layers) moveLayer(layer, 'both')
  return shiftToOrigin(layers, chains)
}

/** Layers from the top down, with the points of long edges. */
function makeLayers(
  sizes: ReadonlyMap<string, Size>,
  edges: Edges,
): { layers: Cell[][]; chains: Chain[] } {
  const heights = new Map<string, number>()
  const heightOf = (id: string): number => {
    const known = heights.get(id)
    if (known !== undefined) return known
    const height = Math.max(-1, ...(edges.get(id) ?? []).map(heightOf)) + 1
    heights.set(id, height)
    return height
  }
  const top = Math.max(...[...sizes.keys()].map(heightOf))
  const layers = Array.from({ length: top + 1 }, (): Cell[] => [])
  const add = (id: string, layer: number, size: Size, isPoint: boolean): Cell => {
    const cell = { id, layer, ...size, isPoint, above: [], below: [], x: 0, y: 0 }
    layers[layer]?.push(cell)
    return cell
  }
  const cells = new Map<string, Cell>()
  for (const [id, size] of sizes) cells.set(id, add(id, top - heightOf(id), size, false))
  const chains: Chain[] = []
  for (const [from, targets] of edges) {
    for (const to of targets) {
      const [start, end] = [cells.get(from), cells.get(to)]
      if (start === undefined || end === undefined) throw new Error(`no box for ${from} or ${to}`)
      const chain = [start]
      for (let layer = start.layer + 1; layer < end.layer; layer += 1) {
        chain.push(add(`${from} ${to}`, layer, { width: 0, height: 0 }, true))
      }
      chain.push(end)
      chains.push({ from, to, cells: chain })
      for (const [upper, lower] of pairs(chain)) {
        upper.below.push(lower)
        lower.above.push(upper)
      }
    }
  }
  return { layers, chains }
}

function pairs<T>(values: readonly T[]): [T, T][] {
  return values.slice(1).map((value, index) => [values[index] as T, value])
}

/** Sorts each layer so that few edges cross. */
function sortLayers(layers: Cell[][]): void {
  for (const layer of layers) numberCells(layer)
  let best = layers.map((layer) => [...layer])
  let fewest = crossings(layers)
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const isDown = sweep % 2 === 0
    for (const layer of isDown ? layers : [...layers].reverse()) {
      const keys = new Map(
        layer.map((cell) => {
          const near = isDown ? cell.above : cell.below
          return [cell, near.length === 0 ? cell.x : mean(near.map(({ x }) => x))]
        }),
      )
      layer.sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0))
      numberCells(layer)
    }
    swapNeighbours(layers)
    const count = crossings(layers)
    if (count < fewest) {
      fewest = count
      best = layers.map((layer) => [...layer])
    }
  }
  for (const [index, layer] of best.entries()) {
    layers[index] = layer
    numberCells(layer)
  }
}

/** While sorting, the place in the layer stands for x. */
function numberCells(layer: readonly Cell[]): void {
  for (const [place, cell] of layer.entries()) cell.x = place
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Swaps cells that stand side by side where that takes crossings away. */
function swapNeighbours(layers: Cell[][]): void {
  for (const layer of layers) {
    for (let place = 0; place + 1 < layer.length; place += 1) {
      const [left, right] = [layer[place] as Cell, layer[place + 1] as Cell]
      const now = crossed(left.above, right.above) + crossed(left.below, right.below)
      const then = crossed(right.above, left.above) + crossed(right.below, left.below)
      if (then >= now) continue
      layer[place] = right
      layer[place + 1] = left
      numberCells(layer)
    }
  }
}

/** How many edges to the neighbours of the left cell cross edges to those of the right one. */
function crossed(left: readonly Cell[], right: readonly Cell[]): number {
  let count = 0
  for (const a of left) for (const b of right) if (a.x > b.x) count += 1
  return count
}

function crossings(layers: readonly (readonly Cell[])[]): number {
  let count = 0
  for (const layer of layers) {
    for (const [place, left] of layer.entries()) {
      for (const right of layer.slice(place + 1)) count += crossed(left.below, right.below)
    }
  }
  return count
}

/** Moves the cells of a layer as near to their neighbours as order and gaps allow (least squares). */
function moveLayer(layer: readonly Cell[], side: 'above' | 'below' | 'both'): void {
  let offset = 0
  const offsets: number[] = []
  const blocks: { sum: number; weight: number; count: number }[] = []
  for (const [place, cell] of layer.entries()) {
    const before = layer[place - 1]
    if (before !== undefined) offset += distance(before, cell)
    offsets.push(offset)
    const near = side === 'both' ? [...cell.above, ...cell.below] : cell[side]
    const wish = near.length === 0 ? cell.x : mean(near.map(({ x }) => x))
    const weight = near.length === 0 ? 0.1 : cell.isPoint ? 4 : near.length
    let block = { sum: (wish - offset) * weight, weight, count: 1 }
    for (let last = blocks.at(-1); last !== undefined; last = blocks.at(-1)) {
      if (last.sum / last.weight <= block.sum / block.weight) break
      blocks.pop()
      const { sum, weight, count } = block
      block = { sum: last.sum + sum, weight: last.weight + weight, count: last.count + count }
    }
    blocks.push(block)
  }
  let place = 0
  for (const { sum, weight, count } of blocks) {
    for (let i = 0; i < count; i += 1, place += 1) {
      const cell = layer[place]
      if (cell !== undefined) cell.x = sum / weight + (offsets[place] ?? 0)
    }
  }
}

function distance(left: Cell, right: Cell): number {
  const gap = left.isPoint || right.isPoint ? POINT_GAP : GAP
  return left.width / 2 + right.width / 2 + gap
}

function shiftToOrigin(layers: readonly Cell[][], chains: readonly Chain[]): Layout {
  const cells = layers.flat()
  const left = Math.min(...cells.map((cell) => cell.x - cell.width / 2))
  const right = Math.max(...cells.map((cell) => cell.x + cell.width / 2))
  const bands = layers.map((layer) => Math.max(...layer.map(({ height }) => height)))
  const tops = bands.map((_, index) =>
    bands.slice(0, index).reduce((sum, height) => sum + height + LAYER_GAP, 0),
  )
  for (const cell of cells) {
    cell.x -= left
    cell.y = (tops[cell.layer] ?? 0) + (bands[cell.layer] ?? 0) / 2
  }
  const boxes = cells.filter(({ isPoint }) => !isPoint)
  return {
    width: right - left,
    height: (tops.at(-1) ?? 0) + (bands.at(-1) ?? 0),
    boxes: boxes.map(({ id, x, y, width, height }) => {
      return { id, x: x - width / 2, y: y - height / 2, width, height }
    }),
    lines: chains.map((chain) => drawChain(chain, bands)),
  }
}

/** An edge leaves and reaches boxes at its own place on their sides, in the order of its neighbours. */
function drawChain({ from, to, cells }: Chain, bands: readonly number[]): Line {
  const points = cells.flatMap((cell, index): Point[] => {
    const half = cell.isPoint ? (bands[cell.layer] ?? 0) / 2 : cell.height / 2
    const next = cells[index + 1]
    const before = cells[index - 1]
    const out = next === undefined ? [] : [{ x: port(cell, cell.below, next), y: cell.y + half }]
    const into =
      before === undefined ? [] : [{ x: port(cell, cell.above, before), y: cell.y - half }]
    return [...into, ...out]
  })
  return { from, to, points }
}

function port(cell: Cell, neighbours: readonly Cell[], neighbour: Cell): number {
  if (cell.isPoint) return cell.x
  const sorted = [...neighbours].sort((a, b) => a.x - b.x)
  const step = Math.min(18, (cell.width - 24) / Math.max(1, sorted.length))
  return cell.x + (sorted.indexOf(neighbour) - (sorted.length - 1) / 2) * step
}
