/**
 * What a server's owner has put between data and its users. Per kind, the first registered filter
 * whose path equals or matches the key (or glob) of an operation applies, and no other. In static
 * mode a path without a filter of the kind is not served; otherwise nothing asks.
 */
import type { Change, Commit, Entry } from '../../core/data/entry.ts'
import { newestFirst } from '../../core/data/entry.ts'
import { isStateError } from '../../core/errors.ts'
import { hasGlob, isGlob, matchKey } from '../../core/keys/key.ts'
import { mayOverlap } from '../../core/keys/pattern-overlap.ts'
import { emptyView, entryOf, refusalOf, viewOf } from './entry.ts'
import { type FilterInfo, filterInfo, isInternalPath } from './info.ts'
import type {
  AfterWriteFilter,
  DeleteFilter,
  FilterMeta,
  FilterOperation,
  ReadListFilter,
  ReadObjectFilter,
  ReadStages,
  WriteFilter,
} from './kinds.ts'
import { createLimitFilter, type LimitFilter, type LimitFilterConfig } from './limit-filter.ts'
import { LimitSweeper, type SweepContext } from './limit-sweeper.ts'
import { assertFilterPath } from './path.ts'
import { readListOf } from './read-list.ts'
import { assertSchema } from './schema-validator.ts'
import { applyWriteFilter } from './write-filter.ts'

export type { FilterEntry } from './entry.ts'
export type { FilterInfo } from './info.ts'
export type {
  AfterWriteFilter,
  DeleteFilter,
  FilterMeta,
  FilterOperation,
  ReadListFilter,
  ReadObjectFilter,
  ReadStages,
  WriteFilter,
} from './kinds.ts'
export type { LimitFilterConfig } from './limit-filter.ts'
export { assertFilterPath, RESERVED_PATHS } from './path.ts'

type Kind = 'write' | 'delete' | 'readObject' | 'readList' | 'afterWrite'

interface Registration<Run> {
  readonly path: string
  /** Undefined: opens the path and changes nothing. */
  readonly run: Run | undefined
  readonly meta: FilterMeta
}

const KIND_OF: Readonly<Record<FilterOperation, Kind>> = {
  'read-object': 'readObject',
  'read-list': 'readList',
  write: 'write',
  delete: 'delete',
}

export class Filters {
  readonly #write: Registration<WriteFilter>[] = []
  readonly #delete: Registration<DeleteFilter>[] = []
  readonly #readObject: Registration<ReadObjectFilter>[] = []
  readonly #readList: Registration<(key: string, entries: readonly Entry[]) => readonly Entry[]>[] =
    []
  readonly #afterWrite: Registration<AfterWriteFilter>[] = []
  readonly #limits: LimitFilter[] = []
  readonly #listeners = new Set<(path: string) => void>()
  #sweeper: LimitSweeper | undefined
  #wallNs: () => bigint = () => BigInt(Date.now()) * 1_000_000n

  /**
   * Opens a path for writes, deletes and reads of objects, and for reads of lists when its last segment
   * is `*`. Opening `logs/*` therefore also opens `GET logs/1`.
   * @throws StateError `invalid_option` for a reserved path, here and in all registrations.
   */
  open(path: string, meta: FilterMeta = {}): void {
    checkRegistration(path, meta)
    this.#write.push({ path, run: undefined, meta })
    this.#delete.push({ path, run: undefined, meta })
    this.#readObject.push({ path, run: undefined, meta })
    if (isGlob(path)) this.#readList.push({ path, run: undefined, meta })
  }

  write(path: string, run: WriteFilter, meta: FilterMeta = {}): void {
    checkRegistration(path, meta)
    this.#write.push({ path, run, meta })
  }

  delete(path: string, run: DeleteFilter, meta: FilterMeta = {}): void {
    checkRegistration(path, meta)
    this.#delete.push({ path, run, meta })
  }

  /** Applies to single reads and, per entry, to lists: what it hides or refuses is in no list. */
  readObject(path: string, run: ReadObjectFilter, meta: FilterMeta = {}): void {
    checkRegistration(path, meta)
    this.#readObject.push({ path, run, meta })
    this.#changed(path)
  }

  readList(path: string, run: ReadListFilter, meta: FilterMeta = {}): void {
    checkRegistration(path, meta)
    this.#readList.push({ path, run: readListOf(run), meta })
    this.#changed(path)
  }

  /** With a function: registers it. */
  afterWrite(path: string, run: AfterWriteFilter, meta?: FilterMeta): void
  /** Without: runs the filter for the request key of a write. A rejection does not undo the write. */
  afterWrite(key: string): void | Promise<void>
  afterWrite(path: string, run?: AfterWriteFilter, meta: FilterMeta = {}): void | Promise<void> {
    if (run === undefined) return find(this.#afterWrite, path)?.run?.(path)
    checkRegistration(path, meta)
    this.#afterWrite.push({ path, run, meta })
  }

  /** Opens a list and bounds it by count or age. @throws StateError `invalid_option`. */
  limit(path: string, config: LimitFilterConfig): void {
    const limit = createLimitFilter(path, config, () => this.#wallNs())
    checkRegistration(path, config)
    const meta = {}
    this.#limits.push(limit)
    this.#write.push({ path, run: undefined, meta })
    this.#delete.push({ path, run: undefined, meta })
    this.#readList.push({ path, run: (_key, entries) => limit.view(entries), meta })
    this.#readObject.push({ path, run: undefined, meta })
    this.#afterWrite.push({ path, run: () => this.#sweeper?.sweep(limit), meta })
    this.#sweeper?.add(limit)
    this.#changed(path)
  }

  /** Whether a filter of the kind covers `key`, which may itself be a glob text. */
  permits(operation: FilterOperation, key: string): boolean {
    return find(this.#registered(KIND_OF[operation]), key) !== undefined
  }

  /**
   * The text to store. `key` is that of the request.
   * @throws StateError `filter_refused`, or what the filter threw when that is a StateError.
   */
  applyWrite(key: string, json: string): string | Promise<string> {
    const filter = find(this.#write, key)
    if (filter === undefined) return json
    const { run, meta } = filter
    if (run === undefined && meta.schema === undefined) return json
    return applyWriteFilter(run, meta.schema, key, json)
  }

  /** @throws StateError as `applyWrite`. */
  applyDelete(key: string): void | Promise<void> {
    const run = find(this.#delete, key)?.run
    if (run === undefined) return
    try {
      const done = run(key)
      if (!(done instanceof Promise)) return
      return done.catch((error: unknown) => {
        throw refusalOf(error)
      })
    } catch (error) {
      throw refusalOf(error)
    }
  }

  /**
   * What is shown of a key: the same object when nothing changes it. Without a read-object filter that is
   * the entry as it is, also where only a list filter covers the key.
   * @throws StateError as `applyWrite`.
   */
  applyReadObject(key: string, entry: Entry | undefined): Entry | undefined {
    const run = find(this.#readObject, key)?.run
    if (run === undefined) return entry
    try {
      const view = entry === undefined ? emptyView() : viewOf(entry)
      const shown = run(key, view)
      if (shown === undefined || shown === null) return undefined
      if (entry === undefined && shown.created === 0n && shown.index === '') return undefined
      return entryOf(shown, key, key)
    } catch (error) {
      throw refusalOf(error)
    }
  }

  /**
   * What is shown of a list: each entry through its read-object filter (those it hides or throws for
   * are left out), then all through the read-list filter.
   * @throws StateError as `applyWrite`, of the read-list filter.
   */
  applyReadList(glob: string, entries: readonly Entry[]): readonly Entry[] {
    return this.applyListStage(glob, this.#shownEntries(glob, entries))
  }

  /** The second half of `applyReadList`, for entries that went through their own filters. */
  applyListStage(glob: string, entries: readonly Entry[]): readonly Entry[] {
    const run = find(this.#readList, glob)?.run
    if (run === undefined) return entries
    try {
      return run(glob, entries)
    } catch (error) {
      throw refusalOf(error)
    }
  }

  /** Whether a read of this key or glob may differ from what is stored. */
  isFiltered(keyOrGlob: string): boolean {
    return this.stages(keyOrGlob) !== 'plain'
  }

  /** Which filters take part in reads of this key or glob. */
  stages(keyOrGlob: string): ReadStages {
    if (!hasGlob(keyOrGlob)) {
      return find(this.#readObject, keyOrGlob)?.run === undefined ? 'plain' : 'objects'
    }
    if (find(this.#readList, keyOrGlob)?.run !== undefined) return 'list'
    return this.#touchesEntriesOf(keyOrGlob) ? 'objects' : 'plain'
  }

  /** Hears of paths whose reads may look different from now on. @returns what ends that. */
  onChange(listener: (path: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Begins to delete what limits hide, until `stop`. */
  start(context: SweepContext): void {
    this.#wallNs = () => context.time.wallNs()
    this.#sweeper = new LimitSweeper(context)
    for (const limit of this.#limits) this.#sweeper.add(limit)
  }

  /** Thins out lists that a peer's changes have filled; a write made here sees to that itself. */
  committed({ source, changes }: Commit): void {
    if (source === undefined) return
    for (const limit of this.#limits) {
      const fills = ({ key, after }: Change): boolean =>
        after.kind === 'entry' && matchKey(limit.path, key)
      if (changes.some(fills)) this.#sweeper?.sweepSoon(limit)
    }
  }

  /** Ends sweeping; resolves when sweeps under way are done. Idempotent. */
  async stop(): Promise<void> {
    const sweeper = this.#sweeper
    this.#sweeper = undefined
    await sweeper?.stop()
  }

  /** Every path of any filter once, in order of registration per kind. */
  paths(): string[] {
    const paths = new Set<string>()
    for (const { path } of this.#limits) paths.add(path)
    for (const kind of KINDS) for (const { path } of this.#registered(kind)) paths.add(path)
    return [...paths]
  }

  /** The registered filters by path, without those of cluster sync. */
  describe(): FilterInfo[] {
    return this.paths()
      .filter((path) => !isInternalPath(path))
      .map((path) => this.#describe(path))
  }

  #describe(path: string): FilterInfo {
    const limit = this.#limits.find((each) => each.path === path)
    const of = (kind: Kind): readonly Registration<unknown>[] =>
      this.#registered(kind).filter((each) => each.path === path)
    const text = (...kinds: Kind[]): string =>
      kinds.flatMap(of).find(({ meta }) => meta.description)?.meta.description ?? ''
    const schemas = (['write', 'readObject', 'readList'] as const).flatMap(of)
    return filterInfo({
      path,
      canRead: of('readObject').length > 0 || of('readList').length > 0,
      canWrite: of('write').length > 0,
      canDelete: of('delete').length > 0,
      limit,
      descriptions: {
        descWrite: text('write'),
        descRead: text('readObject', 'readList'),
        descDelete: text('delete'),
        descAfterWrite: text('afterWrite'),
      },
      schema: schemas.find(({ meta }) => meta.schema)?.meta.schema ?? limit?.config.schema,
    })
  }

  #shownEntries(glob: string, entries: readonly Entry[]): readonly Entry[] {
    if (!this.#touchesEntriesOf(glob)) return entries
    const shown: Entry[] = []
    let moved = false
    for (const entry of entries) {
      try {
        const view = this.applyReadObject(entry.key, entry)
        if (view === undefined) continue
        shown.push(view)
        moved ||= view.created !== entry.created
      } catch (error) {
        // Refused alone, so not shown here either; the list itself may still be read.
        if (!isStateError(error)) throw error
      }
    }
    return moved ? reordered(entries, shown) : shown
  }

  #touchesEntriesOf(glob: string): boolean {
    return this.#readObject.some(({ path, run }) => run !== undefined && mayOverlap(path, glob))
  }

  #changed(path: string): void {
    for (const listener of this.#listeners) listener(path)
  }

  #registered(kind: Kind): readonly Registration<unknown>[] {
    switch (kind) {
      case 'write':
        return this.#write
      case 'delete':
        return this.#delete
      case 'readObject':
        return this.#readObject
      case 'readList':
        return this.#readList
      case 'afterWrite':
        return this.#afterWrite
    }
  }
}

const KINDS: readonly Kind[] = ['write', 'delete', 'readObject', 'readList', 'afterWrite']

function find<Found extends Registration<unknown>>(
  registered: readonly Found[],
  key: string,
): Found | undefined {
  return registered.find(({ path }) => matchKey(path, key))
}

/** A filter that changes `created` changes the place in the list, in the direction it came in. */
function reordered(entries: readonly Entry[], shown: Entry[]): Entry[] {
  const [first, second] = entries
  const isOldestFirst = first && second && newestFirst(first, second) > 0
  return shown.sort(isOldestFirst ? (a, b) => newestFirst(b, a) : newestFirst)
}

function checkRegistration(path: string, { schema }: FilterMeta): void {
  assertFilterPath(path)
  if (schema !== undefined) assertSchema(schema, `filter path ${path}`)
}
