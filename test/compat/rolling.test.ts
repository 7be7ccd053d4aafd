/**
 * Nodes are replaced one by one by those of another release, while others write, and nothing is lost. On the way
 * back each is made from a backup of the release before, as docs/edge.md says.
 * `OOO_TEST_PREVIOUS_RELEASE` names the `dist/cli/main.js` of the release before; by default the two are
 * this one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { OOO_COMMAND } from '../support/built.ts'
import { CliProcess, runCli } from '../support/cli-process.ts'
import { freePort } from '../support/free-port.ts'
import { request } from '../support/http.ts'
import { waitFor } from '../support/wait.ts'

const PREVIOUS = process.env.OOO_TEST_PREVIOUS_RELEASE ?? OOO_COMMAND
const WAIT = { deadlineMs: 30_000 }

const closers: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A node whose release can be replaced: port and data stay. */
class Node {
  readonly url: string
  readonly #data: string
  readonly #args: readonly string[]
  #process: CliProcess | undefined

  constructor(port: number, data: string, args: readonly string[]) {
    this.url = `http://127.0.0.1:${port}`
    this.#data = data
    this.#args = [
      'serve',
      '--port',
      String(port),
      '--key',
      'items/*',
      '--cluster-token',
      't',
      '--data',
      data,
      ...args,
    ]
    closers.push(async () => this.#process?.dispose())
  }

  async run(release: string): Promise<void> {
    this.#process = new CliProcess(this.#args, { command: [process.execPath, release] })
    await this.#process.output(/serving http/)
  }

  async replace(release: string): Promise<void> {
    await this.stop()
    await this.run(release)
  }

  async stop(): Promise<void> {
    this.#process?.signal('SIGTERM')
    expect((await this.#process?.ended)?.code).toBe(0)
  }

  /** Takes a backup with the release that runs. */
  backUp(release: string): Promise<void> {
    const from = ['--url', this.url, '--cluster-token', 't']
    return runWith(release, ['backup', ...from, this.#backupFile])
  }

  /** Runs a release from the backup that it took. */
  async goBack(release: string): Promise<void> {
    await this.stop()
    const into = ['--data', this.#data, '--force', '--new-id']
    await runWith(release, ['restore', this.#backupFile, ...into])
    await this.run(release)
  }

  get #backupFile(): string {
    return `${this.#data}.ooo`
  }

  async write(key: string, headers: Record<string, string> = {}): Promise<number> {
    return (await request('POST', `${this.url}/items/${key}`, { body: '1', headers })).status
  }

  async keys(): Promise<string[]> {
    const { body } = await request('GET', `${this.url}/items/*`)
    return (JSON.parse(body) as { index: string }[]).map(({ index }) => index).sort()
  }
}

async function runWith(release: string, args: readonly string[]): Promise<void> {
  const end = await runCli(args, { command: [process.execPath, release] })
  expect(end).toMatchObject({ code: 0 })
}

/** A leader and two followers. */
async function makeCluster(): Promise<readonly [Node, Node, Node]> {
  const data = mkdtempSync(join(tmpdir(), 'ooo-rolling-'))
  closers.push(() => rmSync(data, { recursive: true, force: true }))
  const [port, ...others] = [await freePort(), await freePort(), await freePort()]
  const leader = new Node(port, join(data, '0'), [])
  const [one, two] = others.map(
    (own, i) => new Node(own, join(data, String(i + 1)), ['--cluster-url', leader.url]),
  )
  if (one === undefined || two === undefined) throw new Error('no followers')
  return [leader, one, two]
}

/** Has each node take a plain and a conditional write. @returns the keys. */
async function writeAtAll(nodes: readonly Node[], step: number | string): Promise<string[]> {
  const written: string[] = []
  for (const [i, node] of nodes.entries()) {
    for (const kind of ['plain', 'conditional']) {
      const key = `${step}-${i}-${kind}`
      const headers = kind === 'plain' ? {} : { 'if-none-match': '*' }
      // The leader may not have been found again yet: then it decides nothing, and says so.
      await waitFor(async () => [200, 412].includes(await node.write(key, headers)), WAIT)
      written.push(key)
    }
  }
  return written
}

async function untilAllHave(nodes: readonly Node[], written: readonly string[]): Promise<void> {
  for (const [i, node] of nodes.entries()) {
    const isWhole = async (): Promise<boolean> =>
      (await node.keys()).join() === written.toSorted().join()
    await waitFor(isWhole, { ...WAIT, what: `all writes at node ${i}` })
  }
}

describe.each([
  ['followers first', [1, 2, 0]],
  ['the leader first', [0, 1, 2]],
] as const)('a cluster of three, to this release, %s', (_, order) => {
  it('keeps every write, made while nodes of both releases are in it', async () => {
    const nodes = await makeCluster()
    for (const node of nodes) await node.run(PREVIOUS)
    const written: string[] = []
    for (const [step, at] of order.entries()) {
      await nodes[at]?.replace(OOO_COMMAND)
      written.push(...(await writeAtAll(nodes, step)))
    }
    await untilAllHave(nodes, written)
  }, 120_000)
})

describe.each([
  ['followers first', [1, 2, 0]],
  ['the leader first', [0, 1, 2]],
] as const)('a cluster of three, back to the release before, %s', (_, order) => {
  it('keeps every write that another node has, made by either release', async () => {
    const nodes = await makeCluster()
    for (const node of nodes) await node.run(PREVIOUS)
    const written = await writeAtAll(nodes, 'before')
    await untilAllHave(nodes, written)
    for (const node of nodes) await node.backUp(PREVIOUS)
    for (const node of nodes) await node.replace(OOO_COMMAND)
    written.push(...(await writeAtAll(nodes, 'upgraded')))
    for (const [step, at] of order.entries()) {
      await untilAllHave(nodes, written)
      await nodes[at]?.goBack(PREVIOUS)
      written.push(...(await writeAtAll(nodes, step)))
    }
    await untilAllHave(nodes, written)
  }, 120_000)
})
