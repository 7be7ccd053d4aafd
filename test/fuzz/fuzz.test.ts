/** A short run of what `npm run fuzz` does at length. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'

const run = promisify(execFile)
const INPUTS = 2500
const SEED = process.env.OOO_TEST_SEED ?? '20260101'

beforeAll(prepareBuild)

describe('a node with a heap of 256 MiB', () => {
  it(`outlives ${INPUTS} inputs over HTTP, WebSocket and streams, and keeps nothing of them`, async () => {
    const { stdout } = await run(process.execPath, [
      ...[join(import.meta.dirname, 'run.mjs'), '--inputs', String(INPUTS), '--seed', SEED],
    ])
    const report: unknown = JSON.parse(stdout)
    expect(report).toMatchObject({
      problems: [],
      streams: { heard: { pushed: expect.any(Number) } },
    })
  })
})
