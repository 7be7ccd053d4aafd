/** What a read shows of what is stored, as the fan-out sees it: the filters of a server. */
import type { Entry } from '../../core/data/entry.ts'

/** Deterministic between changes, but for the passing of time in `applyListStage`. */
export interface ReadShape {
  /** Whether reads of a pattern pass entries through filters of their own, or also as a whole list. */
  stages(pattern: string): 'plain' | 'objects' | 'list'
  /** What is shown of one key; undefined for nothing. Throws when it may not be read. */
  applyReadObject(key: string, entry: Entry | undefined): Entry | undefined
  /** What is shown of a list whose entries are shaped already. Throws when it may not be read. */
  applyListStage(pattern: string, entries: readonly Entry[]): readonly Entry[]
}

/** Everything as it is stored. */
export const PLAIN_SHAPE: ReadShape = {
  stages: () => 'plain',
  applyReadObject: (_key, entry) => entry,
  applyListStage: (_pattern, entries) => entries,
}
