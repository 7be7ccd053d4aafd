/** Runs a command of `ooo` in this process, for tests of what it prints. */
import type { CommandContext } from '../../cli/command/command.ts'
import { run } from '../../cli/run.ts'

export async function ooo(
  ...argv: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = ''
  let stderr = ''
  const context: CommandContext = {
    env: {},
    stdout: (text) => {
      stdout += text
    },
    stderr: (text) => {
      stderr += text
    },
    readStdin: async () => '',
    onSignal: () => () => undefined,
    onOutputClosed: () => undefined,
    exitNow: () => undefined,
  }
  const code = await run(argv, context)
  return { code, stdout, stderr }
}
