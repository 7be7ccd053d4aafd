/** Faults of scans, each with the case of the suite that must name it. */

import type { Row, RowRange, StorageAdapter } from '../../src/core/ports/storage-adapter.ts'
import { StateError } from '../../src/core/ports/storage-adapter.ts'
import { drain, rowsOf } from './storage-case.ts'
import type { Fault } from './storage-fault.ts'

/** A fault of scans that changes the rows of a sound one. */
function changedRows(
  base: StorageAdapter,
  change: (rows: Row[], range: RowRange) => Row[],
  asked: (range: RowRange) => RowRange = (range) => range,
): Partial<StorageAdapter> {
  return {
    iterate: (range = {}) => {
      const rows = base.iterate(asked(range))
      return (async function* () {
        yield* change(await drain(rows), range)
      })()
    },
  }
}

export const SCAN_FAULTS: readonly Fault[] = [
  {
    fault: 'rows come in the order of a language',
    caughtBy: 'scans: rows come bytewise',
    plant: (base) => changedRows(base, (rows) => rows.sort((a, b) => a[0].localeCompare(b[0]))),
  },
  {
    fault: 'the limit is applied before the order is reversed',
    caughtBy: 'scans: {"reverse":true,"limit":2}',
    plant: (base) =>
      changedRows(
        base,
        (rows, { reverse }) => (reverse === true ? rows.reverse() : rows),
        (range) => ({ ...range, reverse: false }),
      ),
  },
  {
    fault: 'an exclusive bound is taken as inclusive',
    caughtBy: 'scans: {"gt":"b"}',
    plant: (base) =>
      changedRows(
        base,
        (rows) => rows,
        ({ gt, ...range }) => (gt === undefined ? range : { ...range, gte: gt }),
      ),
  },
  {
    fault: 'of two lower bounds the wider one holds',
    caughtBy: 'scans: {"gt":"a","gte":"c"}',
    plant: (base) =>
      changedRows(
        base,
        (rows) => rows,
        ({ gte, ...range }) => (gte === undefined || range.gt ? range : { ...range, gte }),
      ),
  },
  {
    fault: 'a limit of 0 gives everything',
    caughtBy: 'scans: {"limit":0}',
    plant: (base) =>
      changedRows(
        base,
        (rows) => rows,
        ({ limit, ...range }) => (limit ? { ...range, limit } : range),
      ),
  },
  {
    fault: 'a scan takes its snapshot at its first row',
    caughtBy: 'snapshots: a scan does not see batches called after it',
    plant: (base) => ({
      iterate: (range) =>
        (async function* () {
          yield* base.iterate(range)
        })(),
    }),
  },
  {
    fault: 'a scan reads page after page of what is there by then',
    caughtBy: 'snapshots: rows deleted or changed ahead of a scan',
    plant: (base) => ({ iterate: (range) => livePages(base, range) }),
  },
  {
    fault: 'a scan that is left early is never released',
    caughtBy: 'scans: one left early lets go',
    plant: (base) => {
      let held = 0
      return {
        iterate: (range) => {
          held += 1
          if (held > 16) throw new StateError('overloaded', '16 scans are open')
          const rows = base.iterate(range)
          return (async function* () {
            yield* rows
            held -= 1
          })()
        },
      }
    },
  },
]

/** Rows fetched 100 at a time, each page from its own moment. */
async function* livePages(base: StorageAdapter, range: RowRange = {}): AsyncGenerator<Row> {
  let rest = range
  while (true) {
    const page = await rowsOf(base, { limit: 100, ...rest })
    yield* page
    const last = page.at(-1)?.[0]
    if (last === undefined || range.limit !== undefined) return
    const { gte, lte, ...bounds } = rest
    if (range.reverse === true)
      rest = { ...bounds, ...(gte === undefined ? {} : { gte }), lt: last }
    else rest = { ...bounds, ...(lte === undefined ? {} : { lte }), gt: last }
  }
}
