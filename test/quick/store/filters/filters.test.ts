/** The registry of filters: which one applies, what it may answer, and what it says when it may not. */
import { describe, expect, it } from 'vitest'
import type { Entry } from '../../../../src/core/data/entry.ts'
import { StateError } from '../../../../src/core/errors.ts'
import { Filters } from '../../../../src/store/filters/filters.ts'

function entry(key: string, data = '1', created = 1n): Entry {
  return { kind: 'entry', key, created, updated: 0n, origin: 'test', data }
}

describe('a write filter', () => {
  it('is the first registered that covers the key, and no other', async () => {
    const filters = new Filters()
    filters.write('a/*', () => 'first')
    filters.write('a/1', () => 'second')
    expect(await filters.applyWrite('a/1', '1')).toBe('"first"')
    expect(await filters.applyWrite('b', '1')).toBe('1')
  })

  it('keeps what was sent, digit for digit, unless it gives a value', async () => {
    const filters = new Filters()
    filters.write('a', () => undefined)
    filters.write('b', (_key, data) => ({ ...(data as object), added: true }))
    expect(await filters.applyWrite('a', '{"n":1.10}')).toBe('{"n":1.10}')
    expect(await filters.applyWrite('b', '{"n":9007199254740993}')).toBe(
      '{"n":9007199254740993,"added":true}',
    )
  })

  it('refuses with its own text, and keeps the code of a StateError', async () => {
    const filters = new Filters()
    filters.write('a', () => {
      throw new Error('no')
    })
    filters.write('b', async () => {
      throw new StateError('forbidden', 'not you')
    })
    await expect(filters.applyWrite('a', '1')).rejects.toMatchObject({
      code: 'filter_refused',
      message: 'no',
    })
    await expect(filters.applyWrite('b', '1')).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('may not give what JSON cannot say', async () => {
    const filters = new Filters()
    filters.write('a', () => Number.NaN)
    await expect(filters.applyWrite('a', '1')).rejects.toThrow(
      'filters: invalid filter result error, key:a',
    )
  })

  it('runs after the check of its schema', async () => {
    const filters = new Filters()
    const seen: unknown[] = []
    filters.write('a', (_key, data) => void seen.push(data), { schema: { type: 'number' } })
    await expect(filters.applyWrite('a', '"x"')).rejects.toMatchObject({ code: 'filter_refused' })
    expect(await filters.applyWrite('a', '2')).toBe('2')
    expect(seen).toEqual([2])
  })
})

describe('a read filter', () => {
  it('that hands an entry on leaves it as it is', () => {
    const filters = new Filters()
    filters.readObject('a', (_key, shown) => shown)
    const stored = entry('a', '1.10')
    expect(filters.applyReadObject('a', stored)).toBe(stored)
    expect(filters.applyReadObject('a', undefined)).toBeUndefined()
  })

  it('keeps the spelling of data it copies, and may not change it in place', () => {
    const filters = new Filters()
    filters.readObject('a', (_key, shown) => ({ ...shown, updated: 7n }))
    filters.readObject('b', (_key, shown) => {
      ;(shown.data as { n: number }).n = 0
      return shown
    })
    expect(filters.applyReadObject('a', entry('a', '{"n":1.10}'))).toMatchObject({
      updated: 7n,
      data: '{"n":1.10}',
    })
    expect(() => filters.applyReadObject('b', entry('b', '{"n":1}'))).toThrow('read only')
  })

  it('may invent an entry for a key that is absent', () => {
    const filters = new Filters()
    filters.readObject('a', (_key, shown) => ({ ...shown, created: 5n, data: { up: true } }))
    expect(filters.applyReadObject('a', undefined)).toMatchObject({ key: 'a', data: '{"up":true}' })
  })

  it('of a list may drop, copy and re-order, and nothing else', () => {
    const filters = new Filters()
    filters.readList('a/*', (_key, all) => all.toReversed().slice(0, 1))
    filters.readList('b/*', (_key, all) => [...all, ...all])
    filters.readList('c/*', (_key, all) => all.map((each) => ({ ...each, path: 'c/*' })))
    const shown = filters.applyReadList('a/*', [entry('a/1'), entry('a/2')])
    expect(shown.map(({ key }) => key)).toEqual(['a/2'])
    for (const glob of ['b/*', 'c/*']) {
      expect(() => filters.applyReadList(glob, [entry('b/1')])).toThrow('invalid filter result')
    }
  })

  it('of a list opens its entries in static mode and leaves single reads untouched', () => {
    const filters = new Filters()
    filters.readList('logs/*', () => [])
    expect(filters.permits('read-list', 'logs/1')).toBe(true)
    expect(filters.permits('read-object', 'logs/1')).toBe(false)
    const stored = entry('logs/1')
    expect(filters.applyReadObject('logs/1', stored)).toBe(stored)
  })
})

describe('a limit', () => {
  it.each([
    [{ limit: -1 }, 'a/*', 'filters: limit must be positive'],
    [{ limit: 1, maxAgeMs: -1 }, 'a/*', 'filters: max age must be positive'],
    [{}, 'a', 'filters: limit must be positive'],
    [
      { limit: 1, cleanup: { enabled: true, intervalMs: 59_999 } },
      'a',
      'filters: cleanup interval must be at least 1 minute',
    ],
    [{ limit: 1 }, 'a', 'filters: path must be a glob pattern'],
    [{ limit: 1 }, 'components/*', 'ooo: filter path conflicts with reserved UI paths'],
  ])('%j on %s is refused: %s', (config, path, text) => {
    expect(() => new Filters().limit(path, config)).toThrow(text)
  })

  it('asks its functions at each use and does not touch what it is given', () => {
    const filters = new Filters()
    let limit = 1
    filters.limit('a/*', { limit: 9, limitFunc: () => limit, order: 'asc' })
    const entries = Object.freeze([
      entry('a/1', '1', 1n),
      entry('a/2', '1', 2n),
      entry('a/3', '1', 3n),
    ])
    const keys = (): string[] => filters.applyReadList('a/*', entries).map(({ key }) => key)
    expect(keys()).toEqual(['a/3'])
    limit = 2
    expect(keys()).toEqual(['a/2', 'a/3'])
  })
})

describe('the description of filters', () => {
  it('names each path once, with what it opens', () => {
    const filters = new Filters()
    filters.limit('logs/*', {
      limit: 5,
      maxAgeMs: 5_400_000,
      cleanup: { enabled: true },
      description: 'recent',
    })
    filters.open('box/*', { description: 'all' })
    filters.readObject('pivot/status', (_key, shown) => shown)
    filters.write('in', () => undefined, { schema: { type: 'object' } })
    filters.delete('out', () => undefined)
    expect(filters.paths().sort()).toEqual(['box/*', 'in', 'logs/*', 'out', 'pivot/status'])
    expect(filters.describe()).toMatchObject([
      {
        path: 'logs/*',
        type: 'limit',
        canRead: true,
        canWrite: true,
        canDelete: true,
        isGlob: true,
        limit: 5,
        maxAge: '1h30m0s',
        order: 'desc',
        cleanupEnabled: true,
        cleanupInterval: '10m0s',
        descLimit: 'recent',
      },
      { path: 'box/*', type: 'open', descWrite: 'all', descRead: 'all', descDelete: 'all' },
      { path: 'in', type: 'write-only', isGlob: false },
      { path: 'out', type: 'custom' },
    ])
  })
})
