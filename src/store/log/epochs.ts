/**
 * Epochs of a change log. A crash may lose the newest, unsynced part of the log, after which the
 * same seqs are given to other changes; so each opening of the store begins an epoch and notes at
 * which seq. A position is on the log when its epoch is known and the position lies before the
 * next epoch began. Same idea as Kafka's leader epochs (KIP-101).
 */

import type { LogPosition } from '../../core/wire/protocol.ts'
import type { Planner } from '../planning/planner.ts'

/** Oldest epochs are forgotten beyond this many; positions in them mean a full comparison. */
const MAX_EPOCHS = 256

type EpochList = [id: string, startsAfter: number][]

/** The stored list with a new epoch at its end, which begins after `head`. */
export function beginEpoch(stored: string | undefined, id: string, head: number): string {
  return JSON.stringify([...parse(stored), [id, head]].slice(-MAX_EPOCHS))
}

/** Begins an epoch in an open store. @param head no position of the epoch before was told beyond it. */
export function planEpoch(id: string, head: number): Planner<void> {
  return {
    reads: () => ({}),
    plan: (context) => {
      const meta = new Map([['epochs', beginEpoch(context.meta('epochs'), id, head)]])
      return { plan: { keyStates: [], meta }, result: undefined }
    },
  }
}

/** The epoch before the current one; undefined in a new storage. */
export function previousEpoch(stored: string): string | undefined {
  return parse(stored).at(-2)?.[0]
}

export function currentEpoch(stored: string): string {
  return parse(stored).at(-1)?.[0] ?? ''
}

/** Where each epoch before the current one ended, the latest first. */
export function endsOfEpochs(stored: string): LogPosition[] {
  const epochs = parse(stored)
  const ends = epochs.slice(1).map(([, seq], i) => ({ epoch: epochs[i]?.[0] ?? '', seq }))
  return ends.reverse()
}

/** Whether `position` was, and still is, on the log whose last seq is `head`. */
export function isOnLog(stored: string, head: number, position: LogPosition): boolean {
  const epochs = parse(stored)
  const at = epochs.findIndex(([id]) => id === position.epoch)
  if (at === -1) return false
  return position.seq <= (epochs[at + 1]?.[1] ?? head)
}

function parse(stored: string | undefined): EpochList {
  return stored === undefined ? [] : (JSON.parse(stored) as EpochList)
}
