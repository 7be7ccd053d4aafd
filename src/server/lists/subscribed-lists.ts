/** Where subscriptions read their state: long lists one after the other, with turns for everybody else in between. */
import { StateError } from '../../core/errors.ts'
import type { SnapshotSource } from '../../fanout/pool/pool.ts'
import type { ReplicationStore } from '../../store/replication-store.ts'
import type { ListPace } from '../../store/types/list-pace.ts'
import { Turns } from '../turns/turns.ts'

/** @param maxBytes that one list may read from the disk: it is held as long as somebody subscribes to it */
export function subscribedLists(
  store: Pick<ReplicationStore, 'read'>,
  maxBytes: number,
  turns: Turns = new Turns(),
): SnapshotSource {
  return { read: (pattern) => store.read(pattern, paceOf(maxBytes, turns)) }
}

function paceOf(maxBytes: number, turns: Turns): ListPace {
  let total = 0
  return {
    enter: () => turns.run(() => undefined),
    run: (steps) => turns.work(steps),
    read: (bytes) => {
      total += bytes
      if (total <= maxBytes) return turns.run(() => undefined)
      throw new StateError(
        'too_large',
        `ooo: the list has more than ${total} bytes, which a subscription holds; the limit is ${maxBytes}`,
      )
    },
  }
}
