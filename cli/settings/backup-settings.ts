/** The settings of `backup`, `restore`, `verify` and `import`, and what of them belongs together. */

import { hostname } from 'node:os'
import type { BackupFormat } from '../../backup/format/header.ts'
import { StateError } from '../../src/core/errors.ts'
import { CLIENT_SETTINGS, SERVE_SETTINGS } from './config.ts'
import type { ParsedArguments } from './reading/arguments.ts'
import { type Given, resolveSettings } from './reading/resolve.ts'
import { named, oneOf, type SettingsTable, SWITCH, TEXT } from './reading/setting.ts'

/** The data that a command reads or makes. */
export interface PlaceConfig {
  readonly data: string | undefined
  readonly url: string | undefined
  readonly postgres: string | undefined
  readonly postgresNamespace: string | undefined
  readonly clusterToken: string | undefined
}

/** A data folder, a node's rows in a database, or a running node. */
export type Place =
  | { readonly kind: 'database'; readonly url: string; readonly namespace: string }
  | { readonly kind: 'folder'; readonly directory: string }
  | { readonly kind: 'node'; readonly url: string; readonly token: string | undefined }

const PLACE_SETTINGS: SettingsTable<PlaceConfig> = {
  data: {
    flag: 'data',
    env: 'OOO_DATA',
    kind: named(TEXT, 'DIR'),
    fallback: undefined,
    meaning: 'data folder of a node that does not run',
  },
  url: {
    ...CLIENT_SETTINGS.url,
    fallback: undefined,
    meaning: 'running node',
  },
  postgres: {
    ...SERVE_SETTINGS.postgres,
    meaning: 'PostgreSQL database of a node that does not run',
  },
  postgresNamespace: {
    ...SERVE_SETTINGS.postgresNamespace,
    fallbackText: "OOO_NAME, or the machine's name",
    meaning: 'whose data in the database it is',
  },
  clusterToken: {
    ...SERVE_SETTINGS.clusterToken,
    meaning: 'secret of the cluster, for --url; better given in a file or by the variable',
  },
}

/** Of a node that does not run. */
export const NODE_SETTINGS: SettingsTable<
  Pick<PlaceConfig, 'data' | 'postgres' | 'postgresNamespace'>
> = {
  data: PLACE_SETTINGS.data,
  postgres: PLACE_SETTINGS.postgres,
  postgresNamespace: PLACE_SETTINGS.postgresNamespace,
}

export interface BackupConfig extends PlaceConfig {
  readonly format: BackupFormat
  readonly force: boolean
}

export const BACKUP_SETTINGS: SettingsTable<BackupConfig> = {
  ...PLACE_SETTINGS,
  format: {
    flag: 'format',
    env: undefined,
    kind: oneOf<BackupFormat>(['binary', 'jsonl']),
    fallback: 'binary',
    meaning: 'binary (compressed, checked by block) or jsonl (one JSON object per line)',
  },
  force: {
    flag: 'force',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'replace FILE when it is there',
  },
}

export interface RestoreConfig extends PlaceConfig {
  readonly force: boolean
  readonly salvage: boolean
  readonly newId: boolean
}

export const RESTORE_SETTINGS: SettingsTable<RestoreConfig> = {
  ...PLACE_SETTINGS,
  force: {
    flag: 'force',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'move what is in DIR aside, into DIR/before-<time>',
  },
  salvage: {
    flag: 'salvage',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'take what can be read of a damaged backup',
  },
  newId: {
    flag: 'new-id',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'give the node of DIR an id of its own: for a copy beside the node of the backup',
  },
}

export interface ImportConfig extends PlaceConfig {
  readonly fromKo: string | undefined
  readonly force: boolean
}

export const IMPORT_SETTINGS: SettingsTable<ImportConfig> = {
  fromKo: {
    flag: 'from-ko',
    env: undefined,
    kind: named(TEXT, 'DIR'),
    fallback: undefined,
    meaning: 'data folder of a Go server, which is left as it is',
  },
  ...PLACE_SETTINGS,
  force: RESTORE_SETTINGS.force,
}

/** The flags that each name a place, and the setting of each. */
const PLACE_FLAGS = ['data', 'url', 'postgres'] as const

/**
 * The one place that is named. A flag is stronger than a variable: with `--url`, OOO_DATA is no matter.
 * @throws StateError `invalid_option` when none is named, or more than one.
 */
export function placeOf(args: ParsedArguments, env: Given['env']): Place {
  const { values, sources } = resolveSettings(PLACE_SETTINGS, { flags: args.flags, env })
  const named = PLACE_FLAGS.filter((name) => values[name] !== undefined)
  const flagged = named.filter((name) => args.flags.has(name) || args.flags.has(`${name}-file`))
  const [place, other] = flagged.length > 0 ? flagged : named
  if (place === undefined) {
    throw new StateError(
      'invalid_option',
      'no data is named; give --data DIR for the folder of a stopped node, or --url URL for a running one',
    )
  }
  if (other !== undefined) {
    throw new StateError(
      'invalid_option',
      `${sources[place]} and ${sources[other]} both name data; give one of them`,
    )
  }
  const value = values[place] ?? ''
  if (place === 'data') return { kind: 'folder', directory: value }
  if (place === 'url') return { kind: 'node', url: value, token: values.clusterToken }
  const namespace = values.postgresNamespace ?? env.OOO_NAME ?? hostname()
  return { kind: 'database', url: value, namespace }
}
