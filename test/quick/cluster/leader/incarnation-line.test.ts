import { describe, expect, it } from 'vitest'
import { type IncarnationLine, judgeIncarnation } from '../../../../cluster/incarnation/line.ts'
import { beginIncarnation, MAX_INCARNATIONS } from '../../../../src/store/recovery/incarnations.ts'
import { fc } from '../../../support/property.ts'

const LINE: IncarnationLine = { chain: ['c', 'b', 'a'], replaced: ['x'] }

describe('whom a leader lets in', () => {
  it.each([
    ['the first that it hears of', undefined, ['c', 'b'], false, 'next'],
    ['one that dials again', LINE, ['c', 'b', 'a'], true, 'again'],
    ['one that was started again', LINE, ['d', 'c', 'b', 'a'], true, 'next'],
    ['one that was started often, away', LINE, ['f', 'e', 'd', 'c'], false, 'next'],
    ['one that was replaced', LINE, ['b', 'a'], false, 'clone'],
    ['one that shares its predecessor', LINE, ['d', 'b', 'a'], false, 'clone'],
    ['one that shares an older one', LINE, ['f', 'e', 'a'], true, 'clone'],
    ['a later start of a line that was replaced', LINE, ['y', 'x'], false, 'clone'],
    ['one that was restored, the other away', LINE, ['r'], false, 'next'],
    ['one that was restored, the other connected', LINE, ['r'], true, 'occupied'],
  ] as const)('%s', (_, line, told, isConnected, kind) => {
    expect(judgeIncarnation(line, told, isConnected).kind).toBe(kind)
  })

  it('remembers a bounded number of incarnations', () => {
    let line: IncarnationLine | undefined
    for (let i = 0; i < 100; i++) {
      const verdict = judgeIncarnation(line, [`r${i}`], false)
      line = verdict.kind === 'next' ? verdict.line : line
    }
    expect(line?.chain).toEqual(['r99'])
    expect(line?.replaced).toHaveLength(MAX_INCARNATIONS)
  })
})

/** A data folder, and a node that runs from it or does not. */
class Folder {
  row: string | undefined
  static #ids = 0

  constructor(row?: string) {
    this.row = row
  }

  start(): void {
    this.row = beginIncarnation(this.row, `i${Folder.#ids++}`)
  }

  get told(): readonly string[] {
    return JSON.parse(this.row ?? '[]') as string[]
  }
}

/** A leader's memory of one follower, and which incarnation is connected, or seems to be. */
class Leader {
  line: IncarnationLine | undefined
  connected: string | undefined

  greet(told: readonly string[]): string {
    const isConnected = this.connected !== undefined && this.connected === this.line?.chain[0]
    const verdict = judgeIncarnation(this.line, told, isConnected)
    if (verdict.kind === 'next') this.line = verdict.line
    if (verdict.kind === 'next' || verdict.kind === 'again') this.connected = told[0]
    return verdict.kind
  }
}

const LET_IN = ['next', 'again']

/** What happens to an honest node, its leaders and its connections. */
const honestStep = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('start' as const) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('hello' as const), to: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cut' as const), to: fc.nat(1) }) },
  // A leader loses its disk, or comes back as it was some time ago.
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), to: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('save' as const), to: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('back' as const), to: fc.nat(1) }) },
)

describe('an honest node', () => {
  it('is never refused, however often it starts, hellos are lost and leaders go back', () => {
    fc.assert(
      fc.property(fc.array(honestStep, { maxLength: 80 }), (steps) => {
        const folder = new Folder()
        folder.start()
        const leaders = [new Leader(), new Leader()]
        const saved: (IncarnationLine | undefined)[] = [undefined, undefined]
        /** Starts since each leader was last met: beyond what is told, its old connection must be over. */
        const away = [0, 0]
        for (const step of steps) {
          if (step.do === 'start') {
            folder.start()
            away.forEach((count, i) => {
              away[i] = count + 1
            })
            continue
          }
          const leader = leaders[step.to]
          if (leader === undefined) continue
          if (step.do === 'cut') leader.connected = undefined
          else if (step.do === 'save') saved[step.to] = leader.line
          else if (step.do === 'hello') {
            if ((away[step.to] ?? 0) >= MAX_INCARNATIONS) leader.connected = undefined
            expect(LET_IN).toContain(leader.greet(folder.told))
            away[step.to] = 0
          } else {
            leader.line = step.do === 'lose' ? undefined : saved[step.to]
            leader.connected = undefined
          }
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('waits for its old connection to end only after more starts than it tells', () => {
    const folder = new Folder()
    folder.start()
    const leader = new Leader()
    leader.greet(folder.told)
    for (let i = 0; i < MAX_INCARNATIONS; i++) folder.start()
    expect(leader.greet(folder.told)).toBe('occupied')
    leader.connected = undefined
    expect(leader.greet(folder.told)).toBe('next')
  })
})

describe('a copied folder', () => {
  const half = MAX_INCARNATIONS / 2 - 1
  const starts = fc.integer({ min: 1, max: half })
  const step = fc.record({ who: fc.nat(1), starts: fc.nat(2), cuts: fc.boolean() })

  it('is noticed as soon as both have connected to one leader', () => {
    fc.assert(
      fc.property(
        fc.nat(40),
        fc.tuple(starts, starts),
        fc.array(fc.nat(1), { minLength: 2, maxLength: 10 }),
        fc.boolean(),
        (before, branches, order, knewIt) => {
          const original = new Folder()
          const leader = new Leader()
          for (let i = 0; i <= before; i++) original.start()
          if (knewIt) leader.greet(original.told)
          const folders = [original, new Folder(original.row)]
          folders.forEach((folder, i) => {
            for (let n = 0; n < (branches[i] ?? 1); n++) folder.start()
          })
          const met = new Set<number>()
          const refused = order.map((who) => {
            met.add(who)
            leader.connected = undefined
            return !LET_IN.includes(leader.greet(folders[who]?.told ?? []))
          })
          expect(refused.includes(true)).toBe(met.size === 2)
          // The first that connected stays.
          const [first] = order
          order.forEach((who, i) => {
            expect(refused[i]).toBe(who !== first)
          })
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('is noticed without any chain in common while the other one is connected', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
        const leader = new Leader()
        const folders = [new Folder(), new Folder()]
        for (const folder of folders) folder.start()
        leader.greet(folders[0]?.told ?? [])
        expect(leader.greet(folders[1]?.told ?? [])).toBe('occupied')
        for (const { who, starts: count } of steps) {
          for (let i = 0; i < count; i++) folders[who]?.start()
          const kind = leader.greet(folders[who]?.told ?? [])
          expect(LET_IN.includes(kind)).toBe(who === 0)
        }
      }),
    )
  })
})
