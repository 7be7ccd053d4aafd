import { describe, expect, test } from 'vitest'
import { Samples } from '../../../../cluster/progress/lived-samples.ts'

const MS = 1_000_000n
const AGE_MS = 800
const YEARS_10_MS = 315_576_000_000
/** The right time when nothing was lived. */
const START_MS = 1_700_000_000_000

/** A node that samples each 10 ms. `off` is the time for which it was off, `wrong` what its clock is ahead. */
class Life {
  readonly samples = new Samples(AGE_MS)
  offMs = 0
  wrongMs = 0
  #livedMs = 0

  get rightMs(): number {
    return START_MS + this.offMs + this.#livedMs
  }

  run(ms: number): this {
    for (let i = 0; i < ms; i += 10) {
      this.#livedMs += 10
      this.samples.note(BigInt(this.#livedMs) * MS, this.#wallNs)
    }
    return this
  }

  /** How far before the right time what is old ends, milliseconds; undefined: nothing is. */
  get ageMs(): number | undefined {
    const old = this.samples.oldNs(BigInt(this.#livedMs) * MS, this.#wallNs)
    return old === 0n ? undefined : this.rightMs - Number(old / MS)
  }

  get #wallNs(): bigint {
    return BigInt(this.rightMs + this.wrongMs) * MS
  }
}

describe('what is old', () => {
  test('is nothing until the age has been lived, and then what lies the age back, and an eighth at most', () => {
    const life = new Life().run(AGE_MS)
    expect(life.ageMs).toBeUndefined()
    life.run(20)
    for (let i = 0; i < 300; i++) {
      expect(life.run(10).ageMs).toBeGreaterThanOrEqual(AGE_MS)
      expect(life.ageMs).toBeLessThanOrEqual(AGE_MS * 1.125)
    }
    expect(life.samples.list.length).toBeLessThanOrEqual(10)
  })

  test('is nothing ever with an age of 0', () => {
    const samples = new Samples(0)
    for (let i = 1n; i < 100n; i++) samples.note(i * MS, BigInt(START_MS) * MS)
    expect(samples.oldNs(100n * MS, BigInt(START_MS) * MS)).toBe(0n)
    expect(samples.list).toEqual([])
  })

  test('is no more when the clock jumps ahead, for however long less than the age', () => {
    for (let ms = 10; ms < AGE_MS; ms += 10) {
      const life = new Life().run(2000 + ms)
      life.wrongMs = YEARS_10_MS
      for (let left = ms; left > 0; left -= 10) {
        expect(life.ageMs).toBeGreaterThanOrEqual(AGE_MS)
        life.run(10)
      }
      expect(life.ageMs, `ahead for ${ms} ms`).toBeGreaterThanOrEqual(AGE_MS)
    }
  })

  test('is no more by a sample of a clock that was ahead, when it jumps again', () => {
    const life = new Life().run(2000)
    for (let i = 0; i < 12; i++) {
      life.wrongMs = YEARS_10_MS
      life.run(AGE_MS / 2)
      expect(life.ageMs).toBeGreaterThanOrEqual(AGE_MS)
      life.wrongMs = 0
      life.run(AGE_MS / 8)
    }
  })

  test('is what the clock says once it has said so for a whole age', () => {
    const life = new Life()
    life.wrongMs = -YEARS_10_MS
    life.run(2000)
    life.wrongMs = 0
    expect(life.run(AGE_MS).ageMs).toBeGreaterThan(YEARS_10_MS)
    life.run(AGE_MS)
    expect(life.ageMs).toBeLessThanOrEqual(AGE_MS * 1.125)
  })

  test('is less after the clock was behind, for one age', () => {
    const life = new Life().run(2000)
    life.wrongMs = -YEARS_10_MS
    expect(life.run(200).ageMs).toBeGreaterThan(AGE_MS)
    life.wrongMs = 0
    expect(life.run(200).ageMs).toBeGreaterThan(YEARS_10_MS)
    expect(life.run(AGE_MS).ageMs).toBeLessThanOrEqual(AGE_MS * 1.125)
  })

  test('does not care for a clock that is behind between two samples, as after a start in 1970', () => {
    const samples = new Samples(AGE_MS)
    const at = (ms: number): bigint => BigInt(START_MS + ms) * MS
    for (let ms = 0; ms <= 2000; ms += 100) samples.note(BigInt(ms) * MS, at(ms))
    samples.note(2050n * MS, 5n)
    expect(samples.oldNs(2060n * MS, at(2060))).toBe(at(1200))
  })

  test('is less for a node that was off in between', () => {
    const life = new Life().run(2000)
    life.offMs = 10 * AGE_MS
    expect(life.ageMs).toBeGreaterThan(10 * AGE_MS)
    expect(life.run(AGE_MS / 2).ageMs).toBeGreaterThan(10 * AGE_MS)
    expect(life.run(AGE_MS).ageMs).toBeLessThanOrEqual(AGE_MS * 1.125)
  })
})
