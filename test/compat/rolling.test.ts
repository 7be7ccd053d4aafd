/**
 * Nodes are replaced one by one by those of another release, while others write, and nothing is lost.
 * `OOO_TEST_PREVIOUS_RELEASE` names the `dist/cli/main.js` of the release before; by default the two are
 * this one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { OOO_COMMAND } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
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
  readonly #args: readonly string[]
  #process: CliProcess | undefined

  constructor(port: number, args: readonly string[]) {
    this.url = `http://127.0.0.1:${port}`
    this.#args = [
      'serve',
      '--port',
      String(port),
      '--key',
      'items/*',
      '--cluster-token',
      't',
      ...args,
    ]
    closers.push(async () => this.#process?.dispose())
  }

  async run(release: string): Promise<void> {
    this.#process = new CliProcess(this.#args, { command: [process.execPath, release] })
    await this.#process.output(/serving http/)
  }

  async replace(release: string): Promise<void> {
    this.#process?.signal('SIGTERM')
    expect((await this.#process?.ended)?.code).toBe(0)
    await this.run(release)
  }

  async write(key: string, headers: Record<string, string> = {}): Promise<number> {
    return (await request('POST', `${this.url}/items/${key}`, { body: '1', headers })).status
  }

  async keys(): Promise<string[]> {
    const { body } = await request('GET', `${this.url}/items/*`)
    return (JSON.parse(body) as { index: string }[]).map(({ index }) => index).sort()
  }
}

describe.each([
  ['to this release, followers first', [PREVIOUS, OOO_COMMAND], [1, 2, 0]],
  ['to this release, the leader first', [PREVIOUS, OOO_COMMAND], [0, 1, 2]],
  ['back to the release before', [OOO_COMMAND, PREVIOUS], [1, 0, 2]],
] as const)('a cluster of three, %s', (_, [from, to], order) => {
  it('keeps every write, made while nodes of both releases are in it', async () => {
    const data = mkdtempSync(join(tmpdir(), 'ooo-rolling-'))
    closers.push(() => rmSync(data, { recursive: true, force: true }))
    const [port, ...others] = [await freePort(), await freePort(), await freePort()]
    const leader = new Node(port, ['--data', join(data, '0')])
    const nodes = [
      leader,
      ...others.map(
        (own, i) =>
          new Node(own, ['--data', join(data, String(i + 1)), '--cluster-url', leader.url]),
      ),
    ]
    for (const node of nodes) await node.run(from)
    const written: string[] = []
    for (const [step, at] of order.entries()) {
      await nodes[at]?.replace(to)
      for (const [i, node] of nodes.entries()) {
        for (const kind of ['plain', 'conditional']) {
          const key = `${step}-${i}-${kind}`
          const headers = kind === 'plain' ? {} : { 'if-none-match': '*' }
          // The leader may not have been found again yet: then it decides nothing, and says so.
          await waitFor(async () => [200, 412].includes(await node.write(key, headers)), WAIT)
          written.push(key)
        }
      }
    }
    for (const [i, node] of nodes.entries()) {
      const isWhole = async (): Promise<boolean> =>
        (await node.keys()).join() === written.toSorted().join()
      await waitFor(isWhole, { ...WAIT, what: `all writes at node ${i}` })
    }
  }, 120_000)
})
