/** `ooo get`, `set`, `push` and `delete`: one call on one node each. */
import {
  type Client,
  createClient,
  encodeJson,
  type ListOptions,
  parseWithJsonNumbers,
} from '../../src/client/index.ts'
import { StateError } from '../../src/core/errors.ts'
import { hasGlob } from '../../src/core/keys/key.ts'
import { type Command, type CommandContext, EXIT } from '../command/command.ts'
import { targetOf } from '../requests/target.ts'
import { CLIENT_SETTINGS } from '../settings/config.ts'
import { GET_SETTINGS } from '../settings/list-settings.ts'
import type { ParsedArguments } from '../settings/reading/arguments.ts'
import { resolveSettings, settingsOf } from '../settings/reading/resolve.ts'

const TARGET_NOTE =
  'The node is the one of --url, or is put before the key: http://host:port KEY, or http://host:port/KEY.'
const VALUE_NOTE = 'VALUE is JSON; - reads it from standard input. Numbers keep their digits.'

export const GET: Command = {
  name: 'get',
  summary: 'prints an entry, or every entry of a list, one JSON line each',
  operands: '[URL] KEY',
  operandCount: [1, 2],
  settings: settingsOf(GET_SETTINGS),
  notes: [TARGET_NOTE, 'A list comes newest first. A key without an entry ends with exit code 3.'],
  async run(args, context) {
    const { client, key } = open(args, context, 0)
    const found = hasGlob(key)
      ? await client.getList(key, rangeOf(args))
      : await client.get(plain(key, args))
    if (found === undefined) {
      context.stderr(`ooo: ${key}: no such key\n`)
      return EXIT.absent
    }
    const entries = Array.isArray(found) ? found : [found]
    for (const entry of entries) context.stdout(`${encodeJson(entry)}\n`)
    return EXIT.done
  },
}

export const SET: Command = {
  name: 'set',
  summary: 'writes the value of a key, whether it exists or not',
  operands: '[URL] KEY VALUE',
  operandCount: [2, 3],
  settings: settingsOf(CLIENT_SETTINGS),
  notes: [TARGET_NOTE, VALUE_NOTE, 'Prints the key.'],
  async run(args, context) {
    const { client, key, rest } = open(args, context, 1)
    const { path } = await client.set(key, await readValue(rest[0] ?? '', context))
    context.stdout(`${path}\n`)
    return EXIT.done
  },
}

export const PUSH: Command = {
  name: 'push',
  summary: 'adds a value to a list, under a key that the node makes',
  operands: '[URL] GLOB VALUE',
  operandCount: [2, 3],
  settings: settingsOf(CLIENT_SETTINGS),
  notes: [TARGET_NOTE, VALUE_NOTE, 'Prints the new key.'],
  async run(args, context) {
    const { client, key, rest } = open(args, context, 1)
    const { path } = await client.push(key, await readValue(rest[0] ?? '', context))
    context.stdout(`${path}\n`)
    return EXIT.done
  },
}

export const DELETE: Command = {
  name: 'delete',
  summary: 'deletes a key, or everything that a glob covers',
  operands: '[URL] KEY',
  operandCount: [1, 2],
  settings: settingsOf(CLIENT_SETTINGS),
  notes: [TARGET_NOTE, 'A plain key without an entry ends with exit code 3.'],
  async run(args, context) {
    const { client, key } = open(args, context, 0)
    await client.delete(key)
    return EXIT.done
  },
}

/** The entries of a list that the flags ask for. @throws StateError `invalid_option`. */
function rangeOf({ flags }: ParsedArguments): ListOptions {
  const { order, limit, from, to } = resolveSettings(GET_SETTINGS, { flags, env: {} }).values
  return { order, limit, from, to }
}

/** The key, when no flag takes it for a list. @throws StateError `invalid_option`. */
function plain(key: string, { flags }: ParsedArguments): string {
  const flag = ['order', 'limit', 'from', 'to'].find((name) => flags.has(name))
  if (flag === undefined) return key
  throw new StateError('invalid_option', `--${flag} is for lists, and ${key} is one key`)
}

/** A client of the node that the operands name, with the key and `count` further operands. */
function open(
  args: ParsedArguments,
  context: CommandContext,
  count: number,
): { client: Client; key: string; rest: readonly string[] } {
  const { url, key, rest } = targetOf(args, context.env)
  if (rest.length !== count) {
    const what = count === 0 ? 'nothing' : 'one JSON value'
    throw new StateError('invalid_option', `${key}: takes ${what} after it, got ${rest.length}`)
  }
  return { client: createClient({ url, exactNumbers: true }), key, rest }
}

async function readValue(operand: string, context: CommandContext): Promise<unknown> {
  return parseWithJsonNumbers(operand === '-' ? await context.readStdin() : operand)
}
