/** Our own server against the wire format, over every storage; and the suite against servers with faults. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer, type Server } from '../../src/server/server.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { FAULTS, type FaultName, startBrokenServer } from './wire/broken-server.ts'
import { runCase, WIRE_CASES } from './wire/runner.ts'
import type { OwnServerOptions } from './wire/target.ts'

/** [Q] rows where this server does better; each is explained in docs/differences.md. */
const DIFFERENCES: ReadonlySet<string> = new Set([
  'PUT on a key is 404',
  'HEAD on a key is 404',
  'OPTIONS on a key is 404',
  'bytes after the first value are ignored',
  'a frame of any size is discarded',
  'a refused clock is 200 without a body',
])

const folder = mkdtempSync(join(tmpdir(), 'ooo-wire-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.each([
  ['memory', () => new MemoryStorage()],
  ['level', () => new LevelStorage({ directory: mkdtempSync(join(folder, 'db-')) })],
] as const)('a server over %s storage', (_name, createStorage) => {
  let server: Server
  beforeAll(async () => {
    server = createServer({
      storage: createStorage(),
      port: 0,
      tickMs: 100,
      allowedOrigins: ['*'],
    })
    await server.open()
  })
  afterAll(() => server.close())

  it.for(WIRE_CASES.map((wireCase) => [wireCase.section, wireCase.name, wireCase] as const))(
    '%s %s',
    async ([, name, wireCase]) => {
      const verdict = await runCase(wireCase, {
        url: server.address?.url ?? '',
        runId: 'test',
        start: (options) => start({ storage: createStorage(), ...options }),
      })
      if (DIFFERENCES.has(name)) {
        expect(verdict.kind).toBe('failed')
        expect(wireCase.tag).toBe('Q')
      } else if (verdict.kind === 'failed') {
        throw verdict.error
      }
    },
  )

  it('is left as it was found', async () => {
    expect(await server.store.keys()).toEqual([])
  })
})

describe('a server with a fault', () => {
  it.each(FAULTS)(
    '%s is caught',
    async ({ name, caughtBy }) => {
      const broken = await startBrokenServer(name)
      try {
        for (const caseName of caughtBy) {
          const wireCase = WIRE_CASES.find((candidate) => candidate.name === caseName)
          if (wireCase === undefined) throw new Error(`no case ${caseName}`)
          const sound = await startBrokenServer(undefined)
          const run = (url: string, fault?: FaultName) =>
            runCase(wireCase, {
              url,
              runId: 'fault',
              start: (own) => startBrokenServer(fault, own),
            })
          expect(await run(sound.url)).toEqual({ kind: 'passed' })
          await sound.close()
          expect((await run(broken.url, name)).kind).toBe('failed')
        }
      } finally {
        await broken.close()
      }
    },
    60_000,
  )
})

async function start({
  prepare,
  ...options
}: OwnServerOptions): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer({
    storage: new MemoryStorage(),
    allowedOrigins: ['*'],
    ...options,
    port: 0,
  })
  prepare?.(server)
  await server.open()
  return { url: server.address?.url ?? '', close: () => server.close() }
}
