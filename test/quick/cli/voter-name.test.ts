/** Under which name a node votes, and that people are told where it is not the one they gave. */
import { expect, it } from 'vitest'
import { commandHelp } from '../../../cli/commands/help.ts'
import { SERVE } from '../../../cli/commands/serve.ts'
import { SERVE_SETTINGS, serveConfig } from '../../../cli/settings/config.ts'
import { warnOfNamelessVoter } from '../../../cli/settings/groups/election.ts'
import { parseArguments } from '../../../cli/settings/reading/arguments.ts'
import { settingsOf } from '../../../cli/settings/reading/resolve.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'

function warningsOf(...args: string[]): string[] {
  const config = serveConfig(parseArguments(['--key=a', ...args], settingsOf(SERVE_SETTINGS)), {})
  const warnings: string[] = []
  warnOfNamelessVoter(config, { ...SILENT_LOGGER, warn: (message) => warnings.push(message) })
  return warnings
}

it('a node without a name that voters can have is told that it votes by its id', () => {
  expect(warningsOf('--leader=kubernetes')).toEqual([
    expect.stringContaining('votes by its id, which is lost with its disk'),
  ])
  expect(warningsOf('--leader=kubernetes', '--name=two words')).toHaveLength(1)
  expect(warningsOf('--leader=kubernetes', '--name=n-1')).toEqual([])
  expect(warningsOf('--name=two words')).toEqual([])
})

it('help says what stands for a name that is not given, for people and among the voters', () => {
  const help = commandHelp(SERVE).replace(/\s+/g, ' ')
  expect(help).toContain(
    "name of this node, for people and among the voters (default the machine's name; among the voters the node's id",
  )
})
