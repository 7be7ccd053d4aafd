/**
 * What a backup tells of where its records come from, so that the node which is made from it knows that too: the
 * log of the node (`former-logs.ts`), and the leaders that this was in step with (`in-step.ts`).
 */
import type { LogPosition } from '../../core/wire/protocol.ts'
import type { ReplicationStore } from '../replication-store.ts'
import { FORMER_LOGS_ROW, type FormerLog, MAX_FORMER_LOGS, readFormerLogs } from './former-logs.ts'
import {
  apartHash,
  IN_STEP_ROW,
  type InStep,
  MAX_APART,
  readInStep,
  withInStep,
} from './in-step.ts'
import { marksNow } from './link-rows.ts'

export interface Lineage {
  /** Id of the node. */
  readonly node: string
  /** As in `FormerLog`. */
  readonly epochs: string
  readonly forgotten: string
  readonly former: readonly FormerLog[]
  readonly inStep: readonly InStep[]
}

/** Keys in all marks together. */
const MAX_KEYS = 4000

/**
 * Read in two parts: the first before the records are, the second after their place in the log is known.
 * @throws StateError of the storage.
 */
export async function beginLineage(store: ReplicationStore): Promise<() => Promise<Lineage>> {
  const marks = JSON.parse(withInStep(readInStep(store), await marksNow(store))) as InStep[]
  return async () => {
    const inStep: InStep[] = []
    let keys = 0
    for (const mark of marks) {
      const named = await byKeys(store, mark)
      keys += named?.apart.keys?.length ?? 0
      if (keys > MAX_KEYS) break
      if (named !== undefined) inStep.push(named)
    }
    return {
      node: store.id,
      epochs: store.meta('epochs') ?? '[]',
      forgotten: String(store.retention.forgotten),
      former: readFormerLogs(store).filter(({ own }) => store.canResume(own)),
      inStep,
    }
  }
}

/** Seqs mean nothing in another log. @returns undefined when too much is apart. */
async function byKeys(store: ReplicationStore, mark: InStep): Promise<InStep | undefined> {
  const { after, keys = [], ...rest } = mark.apart
  if (after === undefined) return mark
  const { rows } = await store.log(after, MAX_APART + 1)
  const named = [...new Set([...keys, ...rows.map(({ record }) => apartHash(record.key))])]
  if (rows.length > MAX_APART || named.length > MAX_APART) return undefined
  return { ...mark, apart: { ...rest, keys: named } }
}

/**
 * Meta rows of a store that has just been made from the whole of a backup.
 * @param place of the records in the log of the backup.
 */
export function lineageRows(
  store: Pick<ReplicationStore, 'epoch' | 'head'>,
  { node, epochs, forgotten, former, inStep }: Lineage,
  place: LogPosition,
): ReadonlyMap<string, string> {
  const own = { epoch: store.epoch, seq: store.head }
  const logs = [{ epochs, head: place.seq, forgotten, own }, ...former]
  const first: InStep = { leader: node, place, seen: null, apart: {}, forgotten, own }
  const marks = [first, ...inStep.filter(({ leader }) => leader !== node)]
  return new Map([
    [
      FORMER_LOGS_ROW,
      JSON.stringify(logs.slice(0, MAX_FORMER_LOGS).map((log) => ({ ...log, own }))),
    ],
    [
      IN_STEP_ROW,
      withInStep(
        [],
        marks.map((mark) => ({ ...mark, own })),
      ),
    ],
  ])
}

/** What a backup tells, checked. @returns undefined when it is none of ours. */
export function readLineage(value: unknown): Lineage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { node, epochs, forgotten, former, inStep } = value as Readonly<Record<string, unknown>>
  if (typeof node !== 'string' || !isEpochs(epochs) || !isStamp(forgotten)) return undefined
  if (!Array.isArray(former) || !former.every(isFormerLog)) return undefined
  if (!Array.isArray(inStep) || !inStep.every(isInStep)) return undefined
  return { node, epochs, forgotten, former, inStep }
}

function isFormerLog(value: unknown): value is FormerLog {
  const { epochs, head, forgotten, own } = fieldsOf(value)
  return isEpochs(epochs) && isSeq(head) && isStamp(forgotten) && isPlace(own)
}

function isInStep(value: unknown): value is InStep {
  const { leader, place, seen, apart, forgotten = '0', heardMs = 0, own } = fieldsOf(value)
  const { after, keys = [], within = [] } = fieldsOf(apart)
  return (
    typeof leader === 'string' &&
    isStamp(forgotten) &&
    isSeq(heardMs) &&
    [place, own, ...(seen === null ? [] : [seen])].every(isPlace) &&
    (after === undefined || isSeq(after)) &&
    Array.isArray(keys) &&
    keys.every((key) => typeof key === 'string') &&
    Array.isArray(within) &&
    within.every(isFollowed)
  )
}

function isFollowed(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every((pair) => {
      if (!Array.isArray(pair)) return false
      const [path, isFollowing] = pair as readonly unknown[]
      return typeof path === 'string' && typeof isFollowing === 'boolean'
    })
  )
}

function isPlace(value: unknown): boolean {
  const { epoch, seq } = fieldsOf(value)
  return typeof epoch === 'string' && isSeq(seq)
}

function isSeq(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isStamp(value: unknown): value is string {
  return typeof value === 'string' && /^\d{1,19}$/.test(value)
}

function isEpochs(value: unknown): value is string {
  if (typeof value !== 'string') return false
  try {
    const list: unknown = JSON.parse(value)
    return (
      Array.isArray(list) &&
      list.every((pair) => Array.isArray(pair) && typeof pair[0] === 'string' && isSeq(pair[1]))
    )
  } catch {
    return false
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
