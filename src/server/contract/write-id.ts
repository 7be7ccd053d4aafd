/** Names of writes: `<origin>:<version>`, under which name the node that took it wrote, and its stamp there. */
import { StateError } from '../../core/errors.ts'

/** Header of every answer to a write: its id. Of a batch, the id of its last write. */
export const WRITE_ID_HEADER = 'ooo-write-id'

export interface WriteId {
  /** Of the node that took the write; see `core/data/origin.ts`. */
  readonly origin: string
  /** Its stamp, nanoseconds. */
  readonly version: bigint
}

export function formatWriteId({ origin, version }: WriteId): string {
  return `${origin}:${version}`
}

/** @throws StateError `invalid_option` for a text of another form. */
export function parseWriteId(text: string): WriteId {
  const [, origin, version] = /^([\w-]{1,64}):(\d{1,19})$/.exec(text) ?? []
  if (origin !== undefined && version !== undefined) return { origin, version: BigInt(version) }
  throw new StateError(
    'invalid_option',
    `ooo: write id ${JSON.stringify(text.slice(0, 100))} is not <origin>:<version>`,
  )
}
