/** Each code of the error table is what something that can be done to a node is refused with. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ERROR_TABLE, type ErrorCode, StateError } from '../../src/core/errors.ts'
import { createServer, type Server, type ServerOptions } from '../../src/server/server.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { afterTest } from './serve.ts'

const ROOT = join(import.meta.dirname, '../..')

/** A test that provokes a code which needs a cluster, damage or a full disk: its file, and what it says of it. */
interface Elsewhere {
  readonly file: string
  readonly text: string
}

type Provocation = (() => Promise<unknown>) | Elsewhere

async function open(options: Partial<ServerOptions> = {}): Promise<Server> {
  const server = createServer({ storage: new MemoryStorage(), port: 0, ...options })
  afterTest(() => server.close())
  await server.open()
  return server
}

class Refusing extends MemoryStorage {
  isRefusing = false

  override batch(...args: Parameters<MemoryStorage['batch']>): Promise<void> {
    if (this.isRefusing) return Promise.reject(new Error('no'))
    return super.batch(...args)
  }
}

/** Throws what an answer over HTTP says, as the code whose status and start of the text it has. */
async function asked(
  server: Server,
  path: string,
  code: ErrorCode,
  text: string,
  init: RequestInit = {},
): Promise<void> {
  const answer = await fetch(`${server.address?.url}${path}`, init)
  const body = await answer.text()
  expect([answer.status, body.slice(0, text.length)]).toEqual([ERROR_TABLE[code].status, text])
  throw new StateError(code, body)
}

const PROVOCATIONS: Readonly<Record<ErrorCode, Provocation>> = {
  invalid_key: async () => (await open()).set('a//b', 1),
  invalid_glob: async () => (await open()).get('a/*'),
  invalid_json: async () => (await open()).database.set('a', ''),
  invalid_option: async () => (await open()).database.list('a/*', { limit: 0 }),
  invalid_message: async () =>
    asked(await open(), '/-/batch', 'invalid_message', 'batch:', { method: 'POST', body: '{}' }),
  out_of_order: { file: 'test/cluster/leader/bad-peers.test.ts', text: "'out_of_order'" },
  merge_conflict: async () => {
    const server = await open()
    await server.set('a', { b: {} })
    await server.patch('a', { b: 1 })
  },
  not_routed: async () => asked(await open({ static: true }), '/a', 'not_routed', 'filters: route'),
  filter_refused: async () => {
    const server = await open()
    server.filters.write('a', () => {
      throw new Error('no')
    })
    await server.set('a', 1)
  },
  unauthorized: { file: 'test/cluster/leader/node-door.test.ts', text: '401' },
  forbidden: async () => {
    const headers = { origin: 'http://evil.example' }
    await asked(await open(), '/a', 'forbidden', '', { method: 'POST', body: '1', headers })
  },
  not_found: async () => (await open()).patch('a', {}),
  precondition_failed: async () =>
    (await open()).set('a', 1, { precondition: { kind: 'present' } }),
  not_leader: { file: 'test/cluster/leader/forward.test.ts', text: '421' },
  undecided: { file: 'test/cluster/node/election.test.ts', text: 'not decided yet' },
  locked: async () => {
    const { database } = await open()
    await database.lock('a')
    await database.set('a', '1', { waitMs: 0 })
  },
  lock_lost: async () => (await open()).database.unlock('a', 'nobody'),
  position_lost: async () => (await open()).database.watch({ after: { epoch: 'other', seq: 1 } }),
  too_large: async () => {
    const server = await open({ maxBodyBytes: 100 })
    const body = JSON.stringify('x'.repeat(200))
    await asked(server, '/a', 'too_large', '', { method: 'POST', body })
  },
  deadline: async () => {
    const server = await open({ deadlineMs: 20 })
    server.filters.write('a', (json) => new Promise((resolve) => setTimeout(resolve, 200, json)))
    await asked(server, '/a', 'deadline', 'ooo: server deadline', { method: 'POST', body: '1' })
  },
  ack_timeout: { file: 'test/cluster/node/write-status.test.ts', text: "'ack_timeout'" },
  overloaded: { file: 'test/server/store/hang.test.ts', text: "'overloaded'" },
  closing: async () => {
    const server = await open()
    await server.database.lock('a')
    const waiting = server.database.set('a', '1')
    const refused = expect(waiting).rejects.toThrow()
    await server.close()
    await refused
    await waiting
  },
  slow_consumer: { file: 'test/cluster/leader/bad-peers.test.ts', text: "'slow_consumer'" },
  clock_drift: async () => {
    const created = BigInt(Date.now() + 3_600_000) * 1_000_000n
    await (await open()).database.setWithMeta('a', '1', { created, updated: 0n })
  },
  duplicate_node: { file: 'test/e2e/cloned-folder.test.ts', text: 'new-identity' },
  unreachable: { file: 'test/cluster/leader/forward.test.ts', text: '502' },
  not_open: async () => createServer({ storage: new MemoryStorage(), port: 0 }).get('a'),
  unprotected: async () => open({ host: '0.0.0.0' }),
  in_use: async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ooo-errors-'))
    await open({ storage: new LevelStorage({ directory }) })
    await open({ storage: new LevelStorage({ directory }) })
  },
  storage_failed: async () => {
    const storage = new Refusing()
    const server = await open({ storage })
    storage.isRefusing = true
    try {
      await server.set('a', 1)
    } finally {
      storage.isRefusing = false
    }
  },
  storage_full: { file: 'test/server/data/full-storage.test.ts', text: "'storage_full'" },
  corrupt_record: { file: 'test/server/data/damage.test.ts', text: "'corrupt_record'" },
  format_unsupported: { file: 'test/quick/storage/format.test.ts', text: "'format_unsupported'" },
}

describe('an error code', () => {
  it.each(Object.entries(PROVOCATIONS))('%s can be provoked', async (code, provocation) => {
    if (typeof provocation !== 'function') {
      expect(readFileSync(join(ROOT, provocation.file), 'utf8')).toContain(provocation.text)
      return
    }
    await expect(provocation()).rejects.toMatchObject({ code })
  })

  it('is on the page of errors as it is in the table', () => {
    const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8')
    const rows = page.split('\n').filter((line) => line.startsWith('| `'))
    const said = rows.map((row) =>
      row
        .split('|')
        .map((cell) => cell.trim())
        .slice(1, 5),
    )
    const meant = Object.entries(ERROR_TABLE).map(([code, { status, closeCode, retryable }]) => {
      return [`\`${code}\``, String(status), String(closeCode), retryable ? 'yes' : 'no']
    })
    expect(said).toEqual(meant)
  })
})
