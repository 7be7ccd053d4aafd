/** Which node and which key the operands of a client command mean. */
import { StateError } from '../../src/core/errors.ts'
import { CLIENT_SETTINGS } from '../settings/config.ts'
import type { ParsedArguments } from '../settings/reading/arguments.ts'
import { type Given, resolveSettings } from '../settings/reading/resolve.ts'
import { parseServerUrl } from '../settings/reading/setting.ts'

export interface Target {
  /** Origin of the node, without a slash at the end. */
  readonly url: string
  readonly key: string
  /** Operands after the key. */
  readonly rest: readonly string[]
}

/**
 * Accepts `KEY …` with `--url`, `http://host:port KEY …` and `http://host:port/KEY …`.
 * @throws StateError `invalid_option` when no key is named or the URL is no HTTP URL.
 */
export function targetOf(args: ParsedArguments, env: Given['env']): Target {
  const [first = '', second, ...others] = args.positionals
  const node = nodeOf(args, env)
  if (node.path !== '') return { url: node.url, key: node.path, rest: args.positionals.slice(1) }
  if (!isUrl(first)) return { url: node.url, key: first, rest: args.positionals.slice(1) }
  if (second !== undefined) return { url: node.url, key: second, rest: others }
  throw new StateError('invalid_option', `${first}: names no key; add one, as in ${first}/settings`)
}

/**
 * A URL among the operands, wherever it stands, as `--url`.
 * @throws StateError `invalid_option` when more than one node is named.
 */
export function withUrlOperand(args: ParsedArguments): ParsedArguments {
  const urls = args.positionals.filter(isUrl)
  const [url] = urls
  if (url === undefined) return args
  const other = args.flags.get('url')?.[0] ?? urls[1]
  if (other !== undefined) {
    throw new StateError('invalid_option', `${other} and ${url} both name a node; give one of them`)
  }
  const positionals = args.positionals.filter((operand) => operand !== url)
  return { ...args, positionals, flags: new Map(args.flags).set('url', [url]) }
}

/** The node of a command: its first operand when that is a URL, else `--url`; and a path, if any. */
export function nodeOf(args: ParsedArguments, env: Given['env']): { url: string; path: string } {
  const [first = ''] = args.positionals
  const { url } = resolveSettings(CLIENT_SETTINGS, { flags: args.flags, env }).values
  if (!isUrl(first)) return { url, path: '' }
  if (args.flags.has('url')) {
    throw new StateError('invalid_option', `--url and ${first} both name a node; give one of them`)
  }
  // Split by hand: the URL parser would take `.` segments of a key for navigation.
  const slash = first.indexOf('/', first.indexOf('://') + 3)
  const origin = parseServerUrl(slash === -1 ? first : first.slice(0, slash))
  if (origin === undefined) {
    throw new StateError('invalid_option', `${first}: give a URL such as http://10.0.0.1:8800/key`)
  }
  return { url: origin, path: slash === -1 ? '' : first.slice(slash + 1) }
}

function isUrl(operand: string): boolean {
  return operand.includes('://')
}
