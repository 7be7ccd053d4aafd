import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startSizedNode } from '../test/support/sized-node.ts'
import type { Bench, Table } from './harness.ts'

const ENTRIES = 100_000
const VALUE_BYTES = [20, 200, 2000]
const HEAP_MIB = 1024

/** A node that holds everything in memory, opened again on what it wrote. */
export const bench: Bench = {
  question: 'How many bytes of memory does an entry take?',
  setting: `One node in a process of its own with ${ENTRIES} entries on LevelDB and everything in memory, opened again after they were written; keys of 14 characters. Heap after a garbage collection, less that of a node without entries, divided by their number.`,
  async run(): Promise<Table> {
    const empty = await heapOf(0, 0)
    const rows: (string | number)[][] = []
    for (const valueBytes of VALUE_BYTES) {
      const perEntry = ((await heapOf(ENTRIES, valueBytes)) - empty) / ENTRIES
      rows.push([
        `values of ${valueBytes} bytes`,
        Math.round(perEntry),
        Math.round(perEntry - valueBytes),
      ])
    }
    return { columns: ['what', 'heap bytes per entry', 'beyond its value'], rows }
  },
}

/** Bytes of heap of a node that opened a folder with so many entries. */
async function heapOf(entries: number, valueBytes: number): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'ooo-bench-'))
  const options = { directory, cache: 'all', heapMiB: HEAP_MIB } as const
  try {
    const filling = await startSizedNode({ ...options, fill: entries, valueBytes })
    await filling.close()
    const node = await startSizedNode(options)
    const { heapUsed } = await node.memory()
    await node.close()
    return heapUsed
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
