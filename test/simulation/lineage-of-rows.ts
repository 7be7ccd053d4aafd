/** What `ooo backup` and `ooo restore` pass on of where records come from, between the rows of two disks. */

import { decodeHead, NEW_HEAD } from '../../src/store/format/head.ts'
import {
  decodePending,
  metaRow,
  OUTBOX_ROWS,
  sealRow,
  seqOfRow,
  unsealRow,
} from '../../src/store/format/rows.ts'
import { readFormerLogs } from '../../src/store/lineage/former-logs.ts'
import { type InStep, readInStep, withInStep } from '../../src/store/lineage/in-step.ts'
import { lineageRows } from '../../src/store/lineage/lineage.ts'
import { marksNow } from '../../src/store/lineage/link-rows.ts'
import { currentEpoch, endsOfEpochs } from '../../src/store/log/epochs.ts'
import { decodeRetention, RETENTION_ROW } from '../../src/store/log/tombstones.ts'

/**
 * Rows of the disk that is made from a backup of this one; seqs stay what they are.
 * @param epoch of the log that begins.
 */
export async function lineageOfRows(
  rows: ReadonlyMap<string, string>,
  epoch: string,
): Promise<Map<string, string>> {
  const meta = (name: string): string | undefined =>
    unsealRow(metaRow(name), rows.get(metaRow(name)) ?? '')
  const epochs = meta('epochs') ?? '[]'
  const { seq: head } = decodeHead(meta('head') ?? '') ?? NEW_HEAD
  const place = { epoch: currentEpoch(epochs), seq: head }
  const source = {
    ...{ meta, head, epoch: '' },
    pastEpochs: [place, ...endsOfEpochs(epochs)],
    outboxRows: async (limit: number) => outboxOf(rows).slice(0, limit),
  }
  const inStep = JSON.parse(withInStep(readInStep(source), await marksNow(source))) as InStep[]
  const forgotten = String(decodeRetention(meta(RETENTION_ROW)).forgotten)
  const lineage = {
    ...{ node: meta('id') ?? '', epochs, forgotten, inStep },
    former: readFormerLogs(source),
  }
  const made = lineageRows({ epoch, head }, lineage, place)
  const all = new Map([...made, ['epochs', JSON.stringify([[epoch, head]])]])
  return new Map([...all].map(([name, value]) => [metaRow(name), sealRow(metaRow(name), value)]))
}

function outboxOf(rows: ReadonlyMap<string, string>): { seq: number; key: string }[] {
  const pending = [...rows].flatMap(([row, value]) => {
    const isPending = row >= (OUTBOX_ROWS.gte ?? '') && row < (OUTBOX_ROWS.lt ?? '')
    const text = isPending ? unsealRow(row, value) : undefined
    return text === undefined ? [] : [{ seq: seqOfRow(row), key: decodePending(text).key }]
  })
  return pending.sort((a, b) => a.seq - b.seq)
}
