/** The settings of `ooo serve` about what clients and values may make a node hold in memory. */
import { MAX_JSON_DEPTH } from '../../../src/core/json/bounds.ts'
import type { ServerOptions } from '../../../src/server/contract/options.ts'
import { type Kind, type Setting, type SettingsTable, wholeNumber } from '../reading/setting.ts'

/** Bytes, but for the two of JSON. undefined: by the heap, and 512 for the depth. */
export interface MemoryConfig {
  readonly maxBodiesBytes: number | undefined
  readonly maxAnswerBytes: number | undefined
  readonly maxUnreadBytes: number | undefined
  readonly maxPoolBytes: number | undefined
  readonly maxJsonDepth: number | undefined
  readonly maxJsonMembers: number | undefined
}

const MOST_BYTES = 2 ** 40
const BYTES: Kind<number | undefined> = wholeNumber(1, MOST_BYTES)

export const MEMORY_SETTINGS: SettingsTable<MemoryConfig> = {
  maxBodiesBytes: share(
    'max-bodies-bytes',
    'OOO_MAX_BODIES_BYTES',
    'bytes of all request bodies that are held; more are answered 503',
  ),
  maxAnswerBytes: share(
    'max-answer-bytes',
    'OOO_MAX_ANSWER_BYTES',
    'bytes of all answers that clients have not taken; who takes nothing is cut, or new ones get 503',
  ),
  maxUnreadBytes: share(
    'max-unread-bytes',
    'OOO_MAX_UNREAD_BYTES',
    'bytes that all subscribers have not read; who is behind longest is closed',
  ),
  maxPoolBytes: {
    flag: 'max-pool-bytes',
    env: 'OOO_MAX_POOL_BYTES',
    kind: wholeNumber(0, MOST_BYTES),
    fallback: undefined,
    fallbackText: 'an eighth of the heap, 8 to 128 MiB',
    meaning: 'bytes of full states and patches kept for subscribers to come',
  },
  maxJsonDepth: {
    flag: 'max-json-depth',
    env: 'OOO_MAX_JSON_DEPTH',
    kind: wholeNumber(1, MAX_JSON_DEPTH),
    fallback: undefined,
    fallbackText: '512',
    meaning: 'deepest nesting of JSON that is written',
  },
  maxJsonMembers: {
    flag: 'max-json-members',
    env: 'OOO_MAX_JSON_MEMBERS',
    kind: wholeNumber(1, 1_000_000_000),
    fallback: undefined,
    fallbackText: 'one for each 120 bytes of the heap, 500000 to 4000000',
    meaning: 'items and members of one JSON value that is written; a member counts four times',
  },
}

function share(flag: string, env: string, meaning: string): Setting<number | undefined> {
  const fallbackText = 'a quarter of the heap, 16 to 256 MiB'
  return { flag, env, kind: BYTES, fallback: undefined, fallbackText, meaning }
}

/** What the server is given. */
export function memoryOf(config: MemoryConfig): Pick<ServerOptions, keyof MemoryConfig> {
  const names = Object.keys(MEMORY_SETTINGS) as (keyof MemoryConfig)[]
  return Object.fromEntries(
    names.flatMap((name) => (config[name] === undefined ? [] : [[name, config[name]]])),
  )
}
