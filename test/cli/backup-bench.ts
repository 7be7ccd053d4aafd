/** Data folders, nodes and commands for the tests of backups. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { createServer, type Server } from '../../src/server/server.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { prepareBuild } from '../support/built.ts'
import { type CliEnd, type CliOptions, CliProcess, runCli } from '../support/cli-process.ts'

/** A folder that a Go server wrote; see `main.go` beside it. */
export const KO_FIXTURE: string = fileURLToPath(new URL('../backup/ko-fixture/db', import.meta.url))

/** What a test of backups works with: a temporary folder, in which the commands run. */
export class BackupBench {
  #folder = ''
  readonly #closers: (() => unknown)[] = []

  /** For the top of a test file: builds the command, and gives each test a folder of its own. */
  static use(): BackupBench {
    const bench = new BackupBench()
    beforeAll(prepareBuild, 300_000)
    beforeEach(async () => {
      bench.#folder = await mkdtemp(join(tmpdir(), 'ooo backup '))
    })
    afterEach(async () => {
      for (const close of bench.#closers.splice(0).reverse()) await close()
      await rm(bench.#folder, { recursive: true, force: true })
    })
    return bench
  }

  get folder(): string {
    return this.#folder
  }

  at(name: string): string {
    return join(this.#folder, name)
  }

  ooo(...args: string[]): Promise<CliEnd> {
    return runCli(args, { cwd: this.#folder })
  }

  /** A command that still runs. */
  start(args: readonly string[], options: CliOptions = {}): CliProcess {
    const command = new CliProcess(args, { cwd: this.#folder, ...options })
    this.#closers.push(() => command.dispose())
    return command
  }

  /** A node of another process on a data folder, and its URL. */
  async startNode(
    data: string,
    args: readonly string[] = [],
    options: CliOptions = {},
  ): Promise<{ readonly node: CliProcess; readonly url: string }> {
    const node = this.start(['serve', '--port', '0', '--data', data, ...args], options)
    const [, url = ''] = await node.output(/serving (http:\/\/\S+) /)
    return { node, url }
  }

  /** A server of this process on a data folder; closed after the test, if not before. */
  async serve(data: string): Promise<Server> {
    const server = createServer({
      storage: new LevelStorage({ directory: this.at(data) }),
      port: 0,
    })
    this.#closers.push(() => server.close())
    await server.open()
    return server
  }

  /** The folder of a stopped node with some entries and a deleted key; what it answered. */
  async makeData(data: string, count = 50): Promise<Record<string, string>> {
    const server = await this.serve(data)
    for (let i = 0; i < count; i += 1000) {
      const keys = Array.from({ length: Math.min(1000, count - i) }, (_, n) => i + n)
      await server.store.batch(
        keys.map((n) => ({ op: 'set', key: `items/${n}`, json: `{"i":${n}}` })),
      )
    }
    await server.store.set('settings', '{"big":12345678901234567890,"exact":1.10}')
    await server.store.set('gone', '1')
    await server.store.delete('gone')
    const answers = await answersOf(server.address?.url ?? '')
    await server.close()
    return answers
  }

  /** What a node on this folder answers. */
  async answersFrom(data: string): Promise<Record<string, string>> {
    const server = await this.serve(data)
    const answers = await answersOf(server.address?.url ?? '')
    await server.close()
    return answers
  }
}

async function answersOf(url: string): Promise<Record<string, string>> {
  const answers: Record<string, string> = {}
  for (const key of ['items/*', 'settings', 'gone']) answers[key] = await read(url, key)
  return answers
}

export async function read(url: string, key: string): Promise<string> {
  return (await fetch(`${url}/${key}`)).text()
}

export async function write(url: string, key: string, body: string): Promise<void> {
  const answer = await fetch(`${url}/${key}`, { method: 'POST', body })
  expect(answer.status).toBe(200)
  await answer.text()
}

/** Every file of a folder with the digest of its content. */
export async function contentsOf(directory: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of await readdir(directory, { recursive: true })) {
    const path = join(directory, name)
    if (!(await stat(path)).isFile()) continue
    found[name] = createHash('sha256')
      .update(await readFile(path))
      .digest('hex')
  }
  return found
}
