/** How a shared table stands, as people and tools are shown it. */

/** What people are shown of a shared table. */
export interface SharedTableStatus {
  readonly table: string
  /** Keys and globs of it that this node shares. */
  readonly scopes: readonly string[]
  /** `offline`: the database is away; `catchingUp`: reading what changed; `live`: holds everything. */
  readonly state: 'offline' | 'catchingUp' | 'live' | 'closed'
  /** Seq of the table up to which this node holds everything. */
  readonly cursor: number
  /** Seq of the table's newest change, as far as known. */
  readonly head: number
  /** Local changes the table has not got yet. */
  readonly outbox: number
  /** Of these, how many it can not take: too long a key, or a stamp too far ahead. */
  readonly refused: number
  /** Changes taken from the table, changes sent to it, and entries found deleted, since the start. */
  readonly pulled: number
  readonly pushed: number
  readonly dropped: number
  /** Rows of the table that are no records: written past the API. */
  readonly malformed: number
  /** Why the database was last away or a change refused; undefined while neither happened. */
  readonly lastError: string | undefined
}
