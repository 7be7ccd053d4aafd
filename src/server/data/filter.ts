/**
 * The third stage of a write: the write filter of its key. What a merge or an update makes is known when it is
 * planned: it is permitted and filtered then.
 */
import type { Entry } from '../../core/data/entry.ts'
import type { Write } from '../../store/types/write.ts'
import type { MergeClaim } from '../turns/merge-room.ts'
import { filteredChange, mergeInTurns } from './filtered-merge.ts'
import { permitValue } from './permit.ts'
import type { Caller, DataParts, RequestedWrite } from './request.ts'

export interface FilterContext {
  readonly caller: Caller
  /** Where large merges of the request take their room from. */
  readonly claim: MergeClaim
  /** Says of an error which write of a batch it is about. */
  readonly place: (error: unknown) => unknown
}

/** The write with the value that its filter gives it. @throws what the filter throws or rejects with. */
export async function filterWrite(
  parts: DataParts,
  write: RequestedWrite,
  context: FilterContext,
): Promise<Write> {
  const { filters } = parts
  const { key } = write
  switch (write.op) {
    case 'set':
    case 'push':
      return { ...write, json: await filters.applyWrite(key, write.json) }
    case 'delete':
      await filters.applyDelete(key)
      return write
    case 'patch': {
      const { json, precondition } = write
      const change = filteredWhenPlanned(parts, key, mergeInTurns(json, context.claim), context)
      return { op: 'update', key, change, changeBytes: Buffer.byteLength(json), precondition }
    }
    case 'update': {
      const { onMade, ...rest } = write
      const filtered = filteredWhenPlanned(parts, key, write.change, context)
      return { ...rest, change: (current) => reporting(filtered(current), onMade) }
    }
  }
}

function reporting(json: string, onMade: ((json: string) => void) | undefined): string {
  onMade?.(json)
  return json
}

function filteredWhenPlanned(
  parts: DataParts,
  key: string,
  change: (current: Entry) => string,
  { caller, place }: FilterContext,
): (current: Entry) => string {
  return filteredChange(change, parts.jsonBounds, (json) => {
    permitValue(parts, { op: 'set', key, json }, caller)
    const answer = parts.filters.applyWrite(key, json)
    // What a filter throws at once is placed by the plan, what it rejects with only here.
    if (typeof answer === 'string') return answer
    return answer.catch((error: unknown) => {
      throw place(error)
    })
  })
}
