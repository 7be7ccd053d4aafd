/** Histograms of durations as a picture: durations on a logarithmic axis, shares upward. */
import { type HistogramData, type Percentiles, upperEdge } from './histogram.ts'

/** Shares of the whole in bars of equal width on a logarithmic axis, ascending. */
export type Bars = readonly (readonly [step: number, share: number])[]

/** Bars per doubling of the duration. */
const STEPS = 4
const WIDTH = 860
const PLOT = { left: 16, top: 36, width: 828, height: 220 }
/** Of the axis with its marks. */
const AXIS_HEIGHT = 32
const LINE_HEIGHT = 19
const COLOURS = [
  '#1f6feb',
  '#d1242f',
  '#1a7f37',
  '#9a6700',
  '#8250df',
  '#bf3989',
  '#0a7ea4',
  '#57606a',
]
const DECADES_US = [10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]

/** The bars of a histogram: few numbers, to be stored. */
export function barsOf({ counts }: HistogramData): Bars {
  const total = counts.reduce((sum, [, count]) => sum + count, 0)
  const bars = new Map<number, number>()
  for (const [bucket, count] of counts) {
    const step = stepOf(upperEdge(bucket))
    bars.set(step, (bars.get(step) ?? 0) + count / total)
  }
  const ascending = [...bars].sort(([a], [b]) => a - b)
  return ascending.map(([step, share]) => [step, Number(share.toPrecision(3))] as const)
}

export interface Picture {
  readonly title: string
  readonly series: readonly {
    readonly label: string
    readonly percentiles: Percentiles
    readonly bars: Bars
  }[]
}

/** One SVG image of all series, each with its p50 and p99 in the legend. */
export function renderSvg({ title, series }: Picture): string {
  const height = PLOT.top + PLOT.height + AXIS_HEIGHT + (series.length + 1) * LINE_HEIGHT
  const steps = series.flatMap(({ bars }) => bars.map(([step]) => step))
  const first = Math.min(...steps, stepOf(1000))
  const last = Math.max(...steps, stepOf(10_000)) + 1
  const highest = Math.max(...series.flatMap(({ bars }) => bars.map(([, share]) => share)), 0.01)
  const x = (step: number): number => PLOT.left + ((step - first) / (last - first)) * PLOT.width
  const y = (share: number): number => PLOT.top + PLOT.height * (1 - share / highest)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="${PLOT.left}" y="20" font-size="14" fill="#1f2328">${escaped(title)}</text>`,
    ...renderAxis(x, first, last),
    ...series.map(({ bars }, i) => renderBars(bars, colour(i), x, y)),
    ...series.map(({ label, percentiles }, i) => renderLegend(label, percentiles, i)),
    renderNote('p50 / p99 of each; outlines show the share of all receipts', series.length),
    '</svg>',
    '',
  ].join('\n')
}

function renderAxis(x: (step: number) => number, first: number, last: number): string[] {
  const bottom = PLOT.top + PLOT.height
  const marks = DECADES_US.filter((us) => exactStep(us) >= first && exactStep(us) <= last)
  return [
    `<path d="M${PLOT.left} ${bottom}h${PLOT.width}" stroke="#57606a"/>`,
    ...marks.flatMap((us) => {
      const at = x(exactStep(us)).toFixed(1)
      const label = us < 1_000_000 ? `${us / 1000} ms` : `${us / 1_000_000} s`
      return [
        `<path d="M${at} ${PLOT.top}V${bottom}" stroke="#d0d7de"/>`,
        `<text x="${at}" y="${bottom + 16}" text-anchor="middle" fill="#57606a">${label}</text>`,
      ]
    }),
  ]
}

/** The outline of the bars: series that overlap stay readable. */
function renderBars(
  bars: Bars,
  stroke: string,
  x: (step: number) => number,
  y: (share: number) => number,
): string {
  const share = new Map(bars)
  const steps = bars.map(([step]) => step)
  const [from, to] = [Math.min(...steps), Math.max(...steps)]
  let path = bars.length === 0 ? 'M0 0' : `M${x(from).toFixed(1)} ${y(0).toFixed(1)}`
  for (let step = from; step <= to; step++) {
    path += `V${y(share.get(step) ?? 0).toFixed(1)}H${x(step + 1).toFixed(1)}`
  }
  if (bars.length > 0) path += `V${y(0).toFixed(1)}`
  return `<path d="${path}" fill="${stroke}" fill-opacity="0.08" stroke="${stroke}" stroke-width="1.5"/>`
}

function renderLegend(label: string, { p50, p99 }: Percentiles, i: number): string {
  const { left } = PLOT
  const top = legendTop(i)
  const ms = (us: number): string => (us / 1000).toPrecision(3)
  return [
    `<rect x="${left}" y="${top}" width="10" height="10" fill="${colour(i)}"/>`,
    `<text x="${left + 16}" y="${top + 9}" font-size="11" fill="#1f2328">${escaped(label)}: ${ms(p50)} / ${ms(p99)} ms</text>`,
  ].join('')
}

function renderNote(text: string, i: number): string {
  return `<text x="${PLOT.left}" y="${legendTop(i) + 9}" font-size="10" fill="#57606a">${text}</text>`
}

function legendTop(i: number): number {
  return PLOT.top + PLOT.height + AXIS_HEIGHT + i * LINE_HEIGHT
}

function colour(i: number): string {
  return COLOURS[i % COLOURS.length] ?? '#000000'
}

function stepOf(us: number): number {
  return Math.floor(exactStep(us))
}

function exactStep(us: number): number {
  return Math.log2(Math.max(1, us)) * STEPS
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
