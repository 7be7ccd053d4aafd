import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { DIALECTS } from '../bench/kit/dialect.ts'
import { SHAPES } from '../bench/kit/fanout-table.ts'
import { parseExactly, sameState } from '../bench/kit/fold.ts'
import { BINARY, FrameReader } from '../bench/kit/frame-reader.ts'
import { Generator } from '../bench/kit/generator-link.ts'
import { Histogram } from '../bench/kit/histogram.ts'
import { inTurns, turnsTable } from '../bench/kit/in-turns.ts'
import { monotonicUs } from '../bench/kit/monotonic.ts'
import { type Recorded, recordOf, writeRecord } from '../bench/kit/record.ts'
import { renderPage } from '../bench/kit/report.ts'
import { Rig } from '../bench/kit/rig.ts'
import { StreamPool } from '../bench/kit/stream-pool.ts'
import { renderSvg } from '../bench/kit/svg.ts'
import { FLOOR } from '../bench/kit/target.ts'
import { PROJECT_ROOT } from './support/built.ts'

const FOLDER = join(PROJECT_ROOT, 'bench')
const SLOW = 120_000

describe('the histogram', () => {
  const values = Array.from({ length: 10_000 }, (_, i) => (i * i * 7919) % 30_000_011)

  it('gives percentiles at most one percent above the true ones', () => {
    const histogram = new Histogram()
    for (const value of values) histogram.record(value)
    const sorted = [...values].sort((a, b) => a - b)
    for (const share of [0.01, 0.5, 0.9, 0.99, 1]) {
      const exact = sorted[Math.ceil(values.length * share) - 1] ?? 0
      expect(histogram.percentile(share)).toBeGreaterThanOrEqual(exact)
      expect(histogram.percentile(share)).toBeLessThanOrEqual(exact * 1.01 + 1)
    }
    expect(histogram.percentiles()).toMatchObject({ count: 10_000, max: sorted.at(-1) })
  })

  it('adds up over processes', () => {
    const [whole, ...parts] = [new Histogram(), new Histogram(), new Histogram()]
    for (const [i, value] of values.entries()) {
      whole.record(value)
      parts[i % 2]?.record(value)
    }
    const sent = parts.map((part) => JSON.parse(JSON.stringify(part)))
    expect(Histogram.from(...sent).toJSON()).toEqual(whole.toJSON())
  })

  it('has no percentiles when it is empty', () => {
    expect(new Histogram().percentiles()).toMatchObject({ count: 0, p50: Number.NaN })
  })
})

describe('the reader of frames', () => {
  const payloads = ['a', '', 'b'.repeat(125), 'c'.repeat(126), 'd'.repeat(70_000)]
  const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket'
  const sent = Buffer.concat([
    Buffer.from(`${head}\r\n\r\n`),
    ...payloads.map((text) => frame(BINARY, text)),
  ])

  it('finds the same frames however the bytes are cut', () => {
    for (const size of [sent.length, 1, 2, 3, 7, 130, 65_536]) {
      expect(read(sent, size), `chunks of ${size}`).toEqual({ head, payloads, problems: [] })
    }
  })

  it('refuses masked and fragmented frames', () => {
    const handshake = Buffer.from(`${head}\r\n\r\n`)
    for (const bytes of [
      [0x82, 0x81, 0, 0, 0, 0, 97],
      [0x02, 0x01, 97],
      [0xc2, 0x01, 97],
    ]) {
      const all = Buffer.concat([handshake, Buffer.from(bytes), frame(BINARY, 'after')])
      expect(read(all, all.length)).toMatchObject({ payloads: [], problems: [expect.anything()] })
    }
  })

  function read(bytes: Buffer, size: number) {
    const seen = { head: '', payloads: [] as string[], problems: [] as string[] }
    const reader = new FrameReader({
      onUpgrade: (text) => {
        seen.head = text
      },
      onFrame: (_opcode, chunk, from, to) => seen.payloads.push(chunk.toString('utf8', from, to)),
      onProblem: (what) => seen.problems.push(what),
    })
    const chunk = Buffer.alloc(size)
    for (let from = 0; from < bytes.length; from += size) {
      reader.read(chunk, bytes.copy(chunk, 0, from, from + size))
    }
    return seen
  }

  function frame(opcode: number, text: string): Buffer {
    const { length } = text
    const size =
      length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 255] : [127]
    const long = Buffer.alloc(length < 65_536 ? 0 : 8)
    if (long.length > 0) long.writeBigUInt64BE(BigInt(length))
    return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), long, Buffer.from(text)])
  }
})

describe('the pool of subscribers', () => {
  const schedule = { startUs: 1000, intervalUs: 100, count: 3, firstNumber: 5 }
  const snapshot = (n: number): string => envelope(true, { created: 1, data: { n, t: 'x' } })
  const patch = (n: number): string =>
    envelope(false, [{ op: 'replace', path: '/data/n', value: n }])

  it('counts each receipt from the intended time of the write', () => {
    const { pool, deliver, join } = start()
    const [a, b] = [join(), join()]
    for (const place of [a, b]) deliver(place, snapshot(0), 900)
    pool.expect(schedule)
    for (const [i, n] of [5, 6, 7].entries()) {
      deliver(a, patch(n), 1000 + i * 100 + 10)
      deliver(b, patch(n), 1000 + i * 100 + 40)
    }
    const { every, lastUs, frames, missing } = pool.receipts(2000)
    expect(pool.complete).toBe(true)
    expect(every.counts).toEqual([
      [10, 3],
      [40, 3],
    ])
    expect({ lastUs, frames, missing }).toEqual({
      lastUs: [1040, 1140, 1240],
      frames: 6,
      missing: 0,
    })
    expect([...pool.states()]).toEqual([
      { state: { created: 1, data: { n: 7, t: 'x' } }, holders: 2 },
    ])
  })

  it('counts a write that a later frame covers when that frame comes', () => {
    const { pool, deliver, join } = start()
    const place = join()
    deliver(place, snapshot(0), 900)
    pool.expect(schedule)
    deliver(place, patch(7), 1250)
    expect(pool.receipts(2000).every.counts).toEqual([
      [50, 1],
      [150, 1],
      [250, 1],
    ])
  })

  it('counts what has not come with the time that has passed', () => {
    const { pool, deliver, join } = start()
    const [a, b] = [join(), join()]
    for (const place of [a, b]) deliver(place, snapshot(0), 900)
    pool.expect({ ...schedule, count: 1 })
    deliver(a, patch(5), 1010)
    const { every, lastUs, missing } = pool.receipts(1200)
    expect(pool.complete).toBe(false)
    expect({ every: every.counts, lastUs, missing }).toEqual({
      every: [
        [10, 1],
        [200, 1],
      ],
      lastUs: [1200],
      missing: 1,
    })
  })

  it('folds apart what a late or slow subscriber was sent instead', () => {
    const { pool, deliver, join } = start()
    const [first, slow] = [join(), join()]
    for (const place of [first, slow]) deliver(place, snapshot(0), 900)
    deliver(first, patch(1), 901)
    const late = [join(), join()]
    for (const place of late) deliver(place, snapshot(1), 902)
    for (const place of [first, ...late]) deliver(place, patch(2), 903)
    deliver(slow, snapshot(2), 904)
    const state = { created: 1, data: { n: 2, t: 'x' } }
    expect([...pool.states()]).toEqual([
      { state, holders: 1 },
      { state, holders: 1 },
      { state, holders: 2 },
    ])
  })

  it('shows a subscriber that was sent a wrong patch', () => {
    const { pool, deliver, join } = start()
    const [right, wrong] = [join(), join()]
    for (const place of [right, wrong]) deliver(place, snapshot(0), 900)
    deliver(right, patch(1), 901)
    deliver(wrong, patch(3), 901)
    const expected = { created: 1, data: { n: 1, t: 'x' } }
    expect([...pool.states()].map(({ state }) => sameState(state, expected))).toEqual([true, false])
  })

  it('tells stamps apart that differ in the last digit', () => {
    const [a, b] = ['1781600000000000001', '1781600000000000002'].map((stamp) =>
      parseExactly(`[{"created":${stamp},"path":"a"}]`),
    )
    expect(sameState(a, a)).toBe(true)
    expect(sameState(a, b)).toBe(false)
  })

  function start() {
    const pool = new StreamPool(DIALECTS.ooo)
    const deliver = (place: ReturnType<StreamPool['join']>, text: string, nowUs: number): void => {
      const bytes = Buffer.from(`##${text}`)
      pool.receive(place, bytes, 2, bytes.length, nowUs)
    }
    return { pool, deliver, join: () => pool.join() }
  }

  function envelope(isSnapshot: boolean, data: unknown): string {
    return JSON.stringify({ snapshot: isSnapshot, version: '1', data })
  }
})

describe('a run', () => {
  it(
    'of writes at fixed times reaches every subscriber, with one that is stuck',
    async () => {
      const rig = await Rig.start(2)
      const server = await FLOOR.start()
      const { port, pid } = server
      try {
        await rig.swarm.join({ port, key: 'items/*', dialect: 'ooo', subscribers: 5 })
        await rig.swarm.joinStuck({ port, key: 'items/*', dialect: 'ooo' })
        const writes = { port, pid, key: 'items/k', keys: 7, rate: 100, seconds: 0.3 }
        const outcome = await rig.run({ ...writes, deadlineMs: 60_000 })
        expect(outcome).toMatchObject({ missing: 0, lost: 0, failedWrites: 0, problems: [] })
        expect(outcome.every.count).toBe(5 * 30)
        expect([outcome.last.count, outcome.answered.count, outcome.late.count]).toEqual([
          30, 30, 30,
        ])
        expect(outcome.every.p50).toBeGreaterThan(0)
        expect(await rig.check()).toEqual({ checked: 5, apart: 0 })
      } finally {
        await rig.end()
        await server.stop()
      }
    },
    SLOW,
  )

  it('in turns gives each server the same loads, and all turns together', {
    timeout: SLOW,
  }, async () => {
    const said: string[] = []
    const context = { peers: false, only: undefined, full: false, seconds: undefined }
    const targets = [FLOOR, { ...FLOOR, name: 'another' }]
    const cells = await inTurns(targets, SHAPES[0], 3, [{ rate: 20, seconds: 0.2, turns: 3 }], {
      ...context,
      say: (line) => said.push(line),
    })
    expect(said).toEqual(['in turns, key, 3 subscribers, 20 writes/s'])
    expect(cells.map(({ target, turns }) => [target, turns.length])).toEqual([
      [FLOOR.name, 3],
      ['another', 3],
    ])
    for (const { outcome, turns } of cells) {
      expect(outcome.every.count).toBe(3 * 3 * 4)
      expect(outcome.every.max).toBe(Math.max(...turns.map(({ every }) => every.max)))
      expect(outcome).toMatchObject({ missing: 0, lost: 0, failedWrites: 0, problems: [] })
    }
    const { rows } = turnsTable(cells, FLOOR.name)
    expect(rows.map((row) => row.slice(0, 3))).toEqual([
      [FLOOR.name, '3 × key', 20],
      ['another', '3 × key', 20],
    ])
    expect(rows.map((row) => /^\d+\.\d\d$/.test(String(row[5])))).toEqual([false, true])
  })

  it('fails when a subscriber holds something else than the server', async () => {
    const rig = await Rig.start()
    const server = await lyingServer()
    try {
      await rig.swarm.join({ port: server.port, key: 'a', dialect: 'ooo', subscribers: 2 })
      await expect(rig.check()).rejects.toThrow('2 of 2 subscribers hold another state')
    } finally {
      await rig.end()
      await server.stop()
    }
  }, 120_000)

  it('counts as failed what the server refuses or does not take', async () => {
    const generator = await Generator.start()
    const server = await lyingServer()
    const schedule = { startUs: monotonicUs(), intervalUs: 1000, count: 3, firstNumber: 1 }
    const load = { key: 'a', keys: 0, padding: 1, schedule, deadlineMs: 60_000, port: server.port }
    try {
      const refused = await generator.run(load)
      expect(refused).toMatchObject({ failed: 3, unanswered: 0 })
      expect(refused.problem).toContain('HTTP/1.1 400')
      await server.stop()
      const unheard = await generator.run(load)
      expect(unheard.failed).toBe(3)
      expect(unheard.problem).toContain('ECONNREFUSED')
    } finally {
      await generator.end()
      await server.stop()
    }
  }, 120_000)

  /** Shows subscribers another value than those who ask, and takes no writes. */
  async function lyingServer(): Promise<{ port: number; stop(): Promise<void> }> {
    const sockets = new Set<Duplex>()
    const server = createServer((request, response) => {
      response.statusCode = request.method === 'GET' ? 200 : 400
      response.end('{"data":{"n":2}}')
    })
    server.on('upgrade', (_request, socket) => {
      const text = '{"snapshot":true,"version":"1","data":{"data":{"n":1}}}'
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
      socket.write(Buffer.concat([Buffer.from([0x82, text.length]), Buffer.from(text)]))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const stop = async (): Promise<void> => {
      if (!server.listening) return
      for (const socket of sockets) socket.destroy()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
    return { port: (server.address() as AddressInfo).port, stop }
  }
})

describe('a record', () => {
  it('replaces its own pictures, not those of a question whose name begins alike', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ooo-records-'))
    const bench = { question: 'How fast?', setting: 'One node.', run: () => Promise.reject() }
    const place = { machine: 'x', commit: 'abc', date: '2030-01-01', load: 1, versions: {} }
    const record = (name: string, chart: string): void => {
      const charts = [{ name: chart, title: chart, series: [] }]
      writeRecord(folder, recordOf(name, bench, { tables: [], charts }, { ...place, seconds: 1 }))
    }
    record('speed', 'old')
    record('speed-burst', 'all')
    record('speed', 'new')
    const pictures = readdirSync(folder).filter((file) => file.endsWith('.svg'))
    expect(pictures.sort()).toEqual(['speed-burst-all.svg', 'speed-new.svg'])
    rmSync(folder, { recursive: true })
  })
})

describe('the report', () => {
  it('holds tables, pictures, notes and the place of each run', () => {
    const histogram = new Histogram()
    for (const value of [900, 1000, 40_000]) histogram.record(value)
    const bench = { question: 'How fast?', setting: 'One node.', run: () => Promise.reject() }
    const place = { machine: '2 × x', commit: 'abc', date: '2030-01-01', load: 1, versions: {} }
    const run = recordOf(
      'speed',
      bench,
      {
        tables: [{ columns: ['what', 'p50 ms'], rows: [['a key', '1.0']] }],
        charts: [
          {
            name: 'all',
            title: 'a < b',
            series: [{ label: 'key', histogram: histogram.toJSON() }],
          },
        ],
        notes: ['Nothing was left out.'],
        versions: { Redis: '7' },
      },
      { ...place, seconds: 2 },
    )
    const page = renderPage([run])
    for (const part of [
      '- [How fast?](#how-fast) (`speed`)',
      '## How fast?',
      '| a key | 1.0 |',
      '](results/speed-all.svg)',
      '- Nothing was left out.',
      '2030-01-01 · commit abc · 2 × x · load before 1.0 · Redis 7 · took 2 s',
    ]) {
      expect(page).toContain(part)
    }
    const [picture] = run.charts.map(renderSvg)
    expect(picture).toContain('a &lt; b')
    expect(picture).toContain('key: 1.00 / 40.0 ms')
    // Two bars of 1 ms share a step or have neighbours; that of 40 ms stands alone, at a third.
    expect(run.charts[0]?.series[0]?.bars.at(-1)?.[1]).toBeCloseTo(1 / 3, 2)
  })

  it('is what the recorded runs give', () => {
    const results = join(FOLDER, 'results')
    const names = namesOfRunner().filter((name) => existsSync(join(results, `${name}.json`)))
    if (names.length === 0) return
    const runs = names.map(
      (name) => JSON.parse(readFileSync(join(results, `${name}.json`), 'utf8')) as Recorded,
    )
    expect(readFileSync(join(FOLDER, 'RESULTS.md'), 'utf8')).toBe(renderPage(runs))
    for (const { name, charts } of runs) {
      for (const chart of charts) {
        const picture = readFileSync(join(results, `${name}-${chart.name}.svg`), 'utf8')
        expect(picture).toBe(renderSvg(chart))
      }
    }
  })

  it('has a place for every benchmark', () => {
    const files = readdirSync(FOLDER).filter((file) => file.endsWith('.bench.ts'))
    expect(namesOfRunner().sort()).toEqual(
      files.map((file) => file.replace('.bench.ts', '')).sort(),
    )
    const notes = readFileSync(join(FOLDER, 'NOTES.md'), 'utf8')
    for (const name of namesOfRunner()) expect(notes).toContain(`\`${name}\``)
  })

  /** The list that the runner goes by. */
  function namesOfRunner(): string[] {
    const text = readFileSync(join(FOLDER, 'run.mjs'), 'utf8')
    const list = /const NAMES = \[([^\]]+)\]/.exec(text)?.[1] ?? ''
    return [...list.matchAll(/'([\w-]+)'/g)].map(([, name = '']) => name)
  }
})
