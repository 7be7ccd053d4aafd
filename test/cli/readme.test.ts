/** What README tells a newcomer to type does what it says. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterEach, beforeAll, expect, it } from 'vitest'
import { isValidKey, MAX_KEY_BYTES, MAX_KEY_SEGMENTS } from '../../src/core/keys/key.ts'
import { MAX_BATCH_OPERATIONS } from '../../src/server/data/batch-route.ts'
import { PROJECT_ROOT, prepareBuild } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
import { codeBlocks } from '../support/markdown.ts'

const README = readFileSync(`${PROJECT_ROOT}/README.md`, 'utf8')
let node: CliProcess | undefined

beforeAll(prepareBuild, 300_000)
afterEach(() => node?.dispose())

it('the batch is taken, and its answer has the shape that is shown', async () => {
  const blocks = codeBlocks(README)
  const at = blocks.findIndex(({ code }) => code.includes('8800/-/batch'))
  const [command, shown] = [blocks[at]?.code ?? '', blocks[at + 1]?.code ?? '']
  node = new CliProcess(['serve', '--port', '0', '--memory'])
  const [, url = ''] = await node.output(/serving (http:\S+)/)
  const run = async (): Promise<string> => {
    const text = command.replace('curl ', 'curl -sS ').replace('http://127.0.0.1:8800', url)
    return (await promisify(execFile)('sh', ['-c', text])).stdout
  }
  expect(shapeOf(await run())).toEqual(shapeOf(shown))
  const settings = await fetch(`${url}/settings`)
  expect(await settings.json()).toMatchObject({ data: { theme: 'dark', volume: 7 } })
  // Its condition holds no more, so that nothing of it is made.
  expect(await run()).toContain('operations[0]')
  expect(await (await fetch(`${url}/items/*`)).json()).toHaveLength(1)
})

it('the limits of keys and batches are those of the code', () => {
  expect(README).toContain(`at most ${MAX_KEY_BYTES} bytes and ${MAX_KEY_SEGMENTS} segments`)
  expect(README).toContain(`at most ${MAX_BATCH_OPERATIONS} \`operations\``)
  const [, key = ''] = /A key is a path .* such as `([^`]+)`/.exec(README) ?? []
  expect(isValidKey(key)).toBe(true)
  for (const sign of '-_./') expect(isValidKey(`a${sign}b`), sign).toBe(true)
  for (const sign of ' !"#$%&\'()+,:;<=>?@[\\]^`{|}~é')
    expect(isValidKey(`a${sign}b`), sign).toBe(false)
  for (const end of ['/', '-', '_', '.']) expect(isValidKey(`a${end}`), end).toBe(false)
})

/** The members of each result, with the path where it is not chosen by the node. */
function shapeOf(json: string): unknown {
  const { results } = JSON.parse(json) as { results: Record<string, unknown>[] }
  return results.map((result) => [
    Object.keys(result),
    String(result.path).replace(/^items\/.+/, 'items/…'),
    result.deleted,
  ])
}
