/** Each error code is met through a door that a user has, or names the test that meets it; docs/errors.md lists all. */
import { readFileSync } from 'node:fs'
import * as net from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { backupRoutes } from '../../backup/routes.ts'
import { cluster } from '../../cluster/index.ts'
import { ERROR_TABLE, type ErrorCode, isStateError, StateError } from '../../src/core/errors.ts'
import { createServer } from '../../src/server/server.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { PROJECT_ROOT } from '../support/built.ts'
import { freePort } from '../support/free-port.ts'
import { HangingStorage } from '../support/hanging-storage.ts'
import type { Answer } from '../support/http.ts'
import { waitFor } from '../support/wait.ts'
import { afterTest, serve, type TestServer } from './serve.ts'

interface Met {
  /** Start of the text that a user is told. */
  readonly text: string
  readonly status: number
  /** A request that is answered so. */
  readonly http?: () => Promise<Answer>
  /** A call in the process that throws so. */
  readonly inProcess?: () => Promise<unknown>
}

/** A test that meets it: it takes a cluster, or a peer that breaks the rules. */
interface MetElsewhere {
  readonly file: string
  readonly test: string
  /** What the test's file holds to say which code it is: the code, or its close code or status. */
  readonly says: string
}

class FailingStorage extends MemoryStorage {
  failure: Error | undefined

  override async batch(...args: Parameters<MemoryStorage['batch']>): Promise<void> {
    if (this.failure !== undefined) throw this.failure
    return super.batch(...args)
  }
}

const FULL = new StateError('storage_full', 'storage: no space is left')

/** A node over a storage that fails from now on. */
async function serveFailing(failure: Error): Promise<TestServer> {
  const storage = new FailingStorage()
  const node = await serve({ storage })
  storage.failure = failure
  return node
}

/** A storage with one row, written as something else had written it. */
async function storageWith(key: string, change: (value: string) => string): Promise<MemoryStorage> {
  const storage = new MemoryStorage()
  const before = await serve({ storage })
  await before.post('/a', '{"n":1}')
  await before.server.close()
  await storage.open()
  const value = change((await storage.get(key)) ?? '')
  await storage.batch([{ type: 'put', key, value }])
  await storage.close()
  return storage
}

async function nodeWith(path: string, body: string): Promise<TestServer> {
  const node = await serve()
  await node.post(path, body)
  return node
}

/** A follower of a leader that does not answer. */
async function follower(options: { readonly forward: boolean }): Promise<TestServer> {
  const leader = `127.0.0.1:${await freePort()}`
  const keys = [{ path: 'items/*' }]
  return await serve({ plugins: [cluster({ keys, clusterUrl: leader, ...options })] })
}

/** A restore that is under way until the end of the test. */
function beginRestore(node: TestServer): void {
  const socket = net.connect(node.port, '127.0.0.1')
  afterTest(() => socket.destroy())
  socket.write(
    'POST /-/restore HTTP/1.1\r\nHost: 127.0.0.1\r\n' +
      'Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n',
  )
}

const IF_ABSENT = { headers: { 'if-none-match': '*' } }

const MET: Readonly<Record<ErrorCode, Met | MetElsewhere>> = {
  invalid_key: {
    status: 400,
    text: 'ooo: key is not valid',
    http: async () => (await serve()).get('/a//b'),
    inProcess: async () => (await serve()).server.get('a//b'),
  },
  invalid_glob: {
    status: 400,
    text: 'ooo: glob pattern not allowed for this operation',
    http: async () => (await serve()).request('PATCH', '/a/*', '{}'),
  },
  invalid_json: {
    status: 400,
    text: 'invalid JSON: ',
    http: async () => (await serve()).post('/a', '{'),
  },
  invalid_option: {
    status: 400,
    text: 'ooo: durability "some" is not one of',
    http: async () => (await serve()).post('/a?durability=some', '1'),
  },
  invalid_message: {
    status: 400,
    text: 'batch: ',
    http: async () => (await serve()).post('/-/batch', '7'),
  },
  out_of_order: {
    file: 'test/cluster/leader/bad-peers.test.ts',
    test: 'hundreds of bad peers leave nothing behind but counts',
    says: 'out_of_order: 500',
  },
  merge_conflict: {
    status: 400,
    text: 'merge: patch value must be object for key "b"',
    http: async () => (await nodeWith('/a', '{"b":{"c":1}}')).request('PATCH', '/a', '{"b":1}'),
  },
  filter_refused: {
    status: 400,
    text: 'the price is negative',
    http: async () => {
      const node = await serve()
      node.server.filters.write('a', () => {
        throw new Error('the price is negative')
      })
      return node.post('/a', '1')
    },
  },
  not_routed: {
    status: 400,
    text: 'filters: route not defined, key:a',
    http: async () => (await serve({ static: true })).post('/a', '1'),
  },
  unauthorized: {
    status: 401,
    text: 'cluster: the cluster token is missing or wrong',
    http: async () => {
      const keys = [{ path: 'items/*' }]
      const node = await serve({ plugins: [cluster({ keys, token: 'of the cluster' })] })
      return node.get('/-/conflicts')
    },
  },
  forbidden: {
    status: 403,
    text: 'Forbidden: pages of the origin https://elsewhere.example may not use this node',
    http: async () => (await serve()).get('/a', { origin: 'https://elsewhere.example' }),
  },
  not_found: {
    status: 404,
    text: 'ooo: empty key',
    http: async () => (await serve()).get('/a'),
  },
  precondition_failed: {
    status: 412,
    text: 'storage: precondition failed, key "a" is at version ',
    http: async () => (await nodeWith('/a', '1')).request('POST', '/a', '2', IF_ABSENT),
  },
  not_leader: {
    status: 421,
    text: 'storage: key "items/a" is led by http://127.0.0.1:',
    http: async () =>
      (await follower({ forward: false })).request('POST', '/items/a', '1', IF_ABSENT),
  },
  undecided: {
    file: 'test/cluster/node/election.test.ts',
    test: 'go on replicating without the lease, and refuse only what does not merge',
    says: 'is not decided now: no leader at present',
  },
  locked: {
    status: 423,
    text: 'storage: key "a" is locked, and was not free within 0 ms',
    http: async () => {
      const node = await serve({ lockWaitMs: 0 })
      await node.server.database.lock('a')
      return node.post('/a', '1')
    },
  },
  lock_lost: {
    status: 409,
    text: 'storage: lock not found',
    inProcess: async () => (await serve()).server.database.unlock('a', 'none'),
  },
  position_lost: {
    status: 410,
    text: 'storage: position 7 of epoch "gone" is not on this node\'s log',
    inProcess: async () =>
      (await serve()).server.database.watch({ after: { epoch: 'gone', seq: 7 } }),
  },
  too_large: {
    status: 413,
    text: 'Request Entity Too Large',
    http: async () => (await serve({ maxBodyBytes: 10 })).post('/a', '"longer than ten"'),
  },
  deadline: {
    status: 503,
    text: 'ooo: server deadline reached',
    http: async () => {
      const storage = new HangingStorage()
      const node = await serve({ storage, deadlineMs: 50 })
      storage.hang()
      afterTest(() => storage.goOn())
      return node.post('/a', '1')
    },
  },
  ack_timeout: {
    status: 504,
    text: 'ooo: ack leader was not reached within 1 ms',
    http: async () =>
      (await follower({ forward: false })).post('/items/a?ack=leader&ackTimeoutMs=1', '1'),
  },
  overloaded: {
    status: 503,
    text: 'backup: 4 are running, at most 4 may',
    http: async () => {
      const node = await serve({ plugins: [backupRoutes()] })
      for (let i = 0; i < 4; i++) beginRestore(node)
      return waitFor(async () => {
        const answer = await node.post('/-/restore', '')
        return answer.status === 503 && answer
      })
    },
  },
  closing: {
    status: 503,
    text: 'ooo: server is closing',
    inProcess: async () => {
      const { server } = await serve()
      void server.close()
      return server.open()
    },
  },
  slow_consumer: {
    file: 'test/quick/fanout/slow-consumer.test.ts',
    test: 'is closed when it takes nothing for the timeout, with a code that invites it back',
    says: '4003',
  },
  clock_drift: {
    status: 409,
    text: 'storage: key "a": stamp ',
    inProcess: async () => {
      const { server } = await serve()
      const created = BigInt(Date.now() + 3_600_000) * 1_000_000n
      return server.database.setWithMeta('a', '1', { created, updated: 0n })
    },
  },
  duplicate_node: {
    file: 'test/cluster/node/clone-guard.test.ts',
    test: 'is refused once both have been there, with both addresses, and told nothing else',
    says: 'duplicate_node: 1',
  },
  unreachable: {
    status: 502,
    text: 'cluster: no answer from http://127.0.0.1:',
    http: async () =>
      (await follower({ forward: true })).request('POST', '/items/a', '1', IF_ABSENT),
  },
  not_open: {
    status: 503,
    text: 'ooo: server is not open',
    inProcess: async () => createServer({ storage: new MemoryStorage() }).database.get('a'),
  },
  unprotected: {
    status: 500,
    text: 'ooo: other machines reach this node at 0.0.0.0, and nothing guards its data',
    inProcess: () =>
      createServer({ storage: new MemoryStorage(), host: '0.0.0.0', port: 0 }).open(),
  },
  in_use: {
    status: 500,
    text: 'ooo: 127.0.0.1:',
    inProcess: async () => {
      const { port } = await serve()
      return createServer({ storage: new MemoryStorage(), port }).open()
    },
  },
  storage_failed: {
    status: 500,
    text: 'storage: EIO',
    http: async () => (await serveFailing(new Error('EIO'))).post('/a', '1'),
    inProcess: async () => (await serveFailing(new Error('EIO'))).server.database.set('a', '1'),
  },
  storage_full: {
    status: 507,
    text: 'storage: no space is left',
    http: async () => (await serveFailing(FULL)).post('/a', '1'),
    inProcess: async () => (await serveFailing(FULL)).server.database.set('a', '1'),
  },
  corrupt_record: {
    status: 500,
    text: 'storage: the record of key "a" is damaged',
    http: async () => {
      const storage = await storageWith('e/a', (value) => `${value.slice(0, -1)}|`)
      return (await serve({ storage })).get('/a')
    },
  },
  format_unsupported: {
    status: 500,
    text: 'storage: the data has format 99',
    inProcess: async () => serve({ storage: await storageWith('m/format', () => '99') }),
  },
}

const codes = Object.keys(ERROR_TABLE) as ErrorCode[]
const read = (path: string): string => readFileSync(join(PROJECT_ROOT, path), 'utf8')

/** What a call throws. */
async function thrownBy(call: () => Promise<unknown>): Promise<unknown> {
  return await call().then(
    () => undefined,
    (error: unknown) => error,
  )
}

/** A test with what it holds, up to the next one of its file. */
function bodyOf(file: string, title: string): string {
  const [, after] = read(file).split(`('${title}', `)
  return after?.split(/\n *(?:it|test|describe)(?:\.each)?\(/)[0] ?? ''
}

describe('the error', () => {
  it.each(codes)('%s is met as the table of codes says', async (code) => {
    const met = MET[code]
    if ('file' in met) {
      expect(bodyOf(met.file, met.test), `${met.file}: ${met.test}`).toContain(met.says)
      return
    }
    expect(met.http ?? met.inProcess, 'a way to meet it').toBeDefined()
    expect(ERROR_TABLE[code].status).toBe(met.status)
    if (met.http !== undefined) {
      const { status, body } = await met.http()
      expect({ status, start: body.slice(0, met.text.length) }).toEqual({
        status: met.status,
        start: met.text,
      })
    }
    if (met.inProcess !== undefined) {
      const error = await thrownBy(met.inProcess)
      expect(isStateError(error) ? error.code : error).toBe(code)
      expect((error as Error).message.slice(0, met.text.length)).toBe(met.text)
    }
  })
})

describe('docs/errors.md', () => {
  it('lists every code with its status, its close code, and whether to try again', () => {
    const rows = [
      ...read('docs/errors.md').matchAll(/^\| `(\w+)` \| (\d+) \| (\d+) \| (yes|no) \| \S/gm),
    ]
    const inCode = codes.map((code) => {
      const { status, closeCode, retryable } = ERROR_TABLE[code]
      return [code, `${status}`, `${closeCode}`, retryable ? 'yes' : 'no']
    })
    expect(rows.map((row) => row.slice(1))).toEqual(inCode)
  })
})
