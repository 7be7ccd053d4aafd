import { describe, expect, it } from 'vitest'
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { BeforeRead } from '../../../src/store/read-hooks.ts'
import { openDatabase } from '../../support/database.ts'

class RecordingLogger implements Logger {
  readonly lines: string[] = []
  debug(): void {}
  info(): void {}
  warn(message: string, fields: object = {}): void {
    this.lines.push(`${message} ${JSON.stringify(fields)}`)
  }
  error(message: string, fields: object = {}): void {
    this.lines.push(`${message} ${JSON.stringify(fields)}`)
  }
}

describe('a read hook', () => {
  it('runs before each read, with the key or glob as it was asked for', async () => {
    const { database } = await openDatabase()
    const reads: string[] = []
    database.setBeforeRead((keyOrGlob) => void reads.push(keyOrGlob))
    await database.get('a')
    await database.list('l/*', { limit: 1 })
    await database.snapshot('s/*')
    await database.getAndLock('g').catch(() => undefined)
    expect(reads).toEqual(['a', 'l/*', 's/*', 'g'])
    await database.set('a', '1')
    await database.keys('*')
    await database.keysRange('*', 0n, 1n)
    await database.get('/').catch(() => undefined)
    expect(reads).toHaveLength(4)
  })

  it('is waited for, so that it can fetch what is read', async () => {
    const { database, store } = await openDatabase()
    database.setBeforeRead(async (key) => {
      await store.set(key, '"fetched"')
    })
    expect((await database.get('a'))?.data).toBe('"fetched"')
    const { lock, entry } = await database.getAndLock('b')
    expect(entry.data).toBe('"fetched"')
    database.unlock('b', lock.token)
  })

  it('can be replaced and taken away while serving; those registered elsewhere stay', async () => {
    const calls: string[] = []
    const registered: BeforeRead[] = [(key) => void calls.push(`registered ${key}`)]
    const { database } = await openDatabase({ beforeRead: () => registered })
    database.setBeforeRead((key) => void calls.push(`first ${key}`))
    await database.get('a')
    database.setBeforeRead((key) => void calls.push(`second ${key}`))
    await database.get('b')
    database.setBeforeRead(undefined)
    await database.get('c')
    expect(calls).toEqual([
      ...['registered a', 'first a', 'registered b', 'second b', 'registered c'],
    ])
  })

  it('that throws or rejects is logged, and the next one and the read go on', async () => {
    const logger = new RecordingLogger()
    const registered: BeforeRead[] = [
      () => {
        throw new Error('sync')
      },
      () => Promise.reject(new Error('async')),
    ]
    const { database } = await openDatabase({ logger, beforeRead: () => registered })
    let last = 0
    database.setBeforeRead(() => void last++)
    await database.set('a', '1')
    expect((await database.get('a'))?.data).toBe('1')
    expect(last).toBe(1)
    expect(logger.lines.join()).toMatch(/a hook failed .*sync.*a hook failed .*async/)
  })

  it('that is slow holds its own read up for so long and no longer, and no other read', async () => {
    const logger = new RecordingLogger()
    const { database, time } = await openDatabase({ logger, beforeReadTimeoutMs: 100 })
    await database.set('a', '1')
    await database.set('b', '2')
    database.setBeforeRead((key) => (key === 'a' ? new Promise(() => undefined) : undefined))
    let data: string | undefined
    const read = database.get('a').then((entry) => {
      data = entry?.data
    })
    await time.advanceAsync(99)
    expect(data).toBeUndefined()
    expect((await database.get('b'))?.data).toBe('2')
    await time.advanceAsync(1)
    await read
    expect(data).toBe('1')
    expect(database.metrics().lateReadHooks).toBe(1)
    expect(logger.lines).toEqual([
      'a read goes on: its hooks took too long {"key":"a","timeoutMs":100}',
    ])
    expect(time.pending).toBe(0)
  })

  it('is not begun for a read that went on without those before it', async () => {
    const begun: string[] = []
    let release = (): void => undefined
    const slow = new Promise<void>((resolve) => {
      release = resolve
    })
    const { database, time } = await openDatabase({
      beforeReadTimeoutMs: 100,
      beforeRead: () => [() => slow, () => void begun.push('second')],
    })
    const read = database.get('a')
    await time.advanceAsync(100)
    await read
    release()
    await time.advanceAsync(0)
    expect(begun).toEqual([])
  })

  it('may take as long as it wants when there is no limit', async () => {
    const { database, time } = await openDatabase({ beforeReadTimeoutMs: 0 })
    let release = (): void => undefined
    database.setBeforeRead(
      () =>
        new Promise((resolve) => {
          release = resolve
        }),
    )
    let isRead = false
    const read = database.get('a').then(() => {
      isRead = true
    })
    await time.advanceAsync(1_000_000)
    expect(isRead).toBe(false)
    release()
    await read
  })
})
