/** The image of a node, for tests, and the engine that runs it. */
import { spawn } from 'node:child_process'
import { beforeAll, beforeEach } from 'vitest'
import { PROJECT_ROOT, prepareBuild } from './built.ts'
import { hasContainerEngine } from './containers.ts'

const BUILD_TIMEOUT_MS = 600_000
const TAG = 'ooo-cluster:test'
const NO_ENGINE =
  'no container engine answers: start Docker (on Debian as root, tools/container-engine.sh starts one)'

/** The image, inside of tests and hooks. */
export interface NodeImage {
  /** Throws where there is none. */
  tag(): string
  /** Before the tests of a file or a `describe`; not where they are skipped. */
  prepare(setup: (tag: string) => Promise<void>): void
}

/**
 * Gives the tests of a file the image: that of `OOO_TEST_IMAGE`, or one built here before the first
 * test. Without an engine the tests are skipped, saying so; with `CI=true` they fail instead.
 */
export function useNodeImage(): NodeImage {
  let image: string | undefined
  beforeAll(async () => {
    if (await hasContainerEngine()) image = process.env.OOO_TEST_IMAGE ?? (await buildImage())
    else if (process.env.CI === 'true') throw new Error(NO_ENGINE)
    else console.log(`skipped: ${NO_ENGINE}`)
  }, BUILD_TIMEOUT_MS)
  beforeEach((context) => {
    if (image === undefined) context.skip(NO_ENGINE)
  })
  return {
    tag: () => {
      if (image === undefined) throw new Error(NO_ENGINE)
      return image
    },
    prepare: (setup) => {
      beforeAll(async () => {
        if (image !== undefined) await setup(image)
      }, BUILD_TIMEOUT_MS)
    },
  }
}

async function buildImage(): Promise<string> {
  await prepareBuild()
  await runTool(process.execPath, [`${PROJECT_ROOT}/tools/image.mjs`, '--tag', TAG])
  return TAG
}

/** Runs a program to its end and gives what it wrote to stdout; rejects with all it wrote when it fails. */
export async function runTool(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let answer = ''
  let all = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    answer += text
    all += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    all += text
  })
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} failed (${code}):\n${all}`)
  return answer
}
