/** Help texts, made from the commands and the configuration table. */

import type { Command } from '../command/command.ts'
import type { AnySetting } from '../settings/reading/arguments.ts'

/** Columns of a help text. */
const WIDTH = 100
const INDENT = 26

/** The text of `ooo --help`. */
export function overview(commands: readonly Command[]): string {
  const widest = Math.max(...commands.map(({ name }) => name.length))
  return [
    'ooo: real-time application state, replicated',
    '',
    'Usage: ooo COMMAND [options]',
    '',
    'Commands:',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(widest)}  ${summary}`),
    '',
    'ooo COMMAND --help tells more; ooo --version prints the version.',
    'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such key.',
    '',
  ].join('\n')
}

/** The text of `ooo COMMAND --help`. */
export function commandHelp(command: Command): string {
  const operands = command.operands === '' ? '' : ` ${command.operands}`
  return [
    `ooo ${command.name}: ${command.summary}`,
    '',
    `Usage: ooo ${command.name} [options]${operands}`,
    '',
    'Options:',
    ...command.settings.flatMap(settingHelp),
    ...column('  --help', 'prints this text'),
    ...command.notes.flatMap((note) => ['', ...wrap(note, WIDTH)]),
    '',
  ].join('\n')
}

function settingHelp(setting: AnySetting): string[] {
  const { placeholder } = setting.kind
  const flag = `  --${setting.flag}${placeholder === undefined ? '' : ` ${placeholder}`}`
  const env = setting.env === undefined ? '' : `; ${setting.env}`
  return column(flag, `${setting.meaning} (default ${defaultText(setting)}${env})`)
}

function defaultText({ fallback, fallbackText }: AnySetting): string {
  if (fallbackText !== undefined) return fallbackText
  if (Array.isArray(fallback)) return fallback.length === 0 ? 'none' : fallback.join(',')
  if (fallback === undefined) return 'none'
  return fallback === false ? 'off' : String(fallback)
}

function column(left: string, text: string): string[] {
  const [first = '', ...rest] = wrap(text, WIDTH - INDENT)
  const lines = rest.map((line) => ' '.repeat(INDENT) + line)
  if (left.length < INDENT - 1) return [left.padEnd(INDENT) + first, ...lines]
  return [left, ' '.repeat(INDENT) + first, ...lines]
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}
