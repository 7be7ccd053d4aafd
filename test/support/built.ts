/** The built package, for tests that run it as a user would. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The root of the checkout, without a slash at the end. */
export const PROJECT_ROOT: string = fileURLToPath(new URL('../..', import.meta.url)).replace(
  /[/\\]$/,
  '',
)

/** The `ooo` command, to be run by Node. */
export const OOO_COMMAND: string = `${PROJECT_ROOT}/dist/cli/main.js`

/** Brings `dist` up to date with the sources; rejects with what the build printed when it fails. */
export async function prepareBuild(): Promise<void> {
  const child = spawn(process.execPath, [`${PROJECT_ROOT}/tools/prepare.mjs`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`the build failed (${code}):\n${output}`)
}
