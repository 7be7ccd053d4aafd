/** The view of a pattern, with as much filtering as its reads need and no more. */
import type { Entry, StoredRecord } from '../../core/data/entry.ts'
import { newestFirst, versionOf } from '../../core/data/entry.ts'
import { hasGlob } from '../../core/keys/key.ts'
import type { FrameBody } from '../frames/frame.ts'
import { ListView } from './list-view.ts'
import { ObjectView } from './object-view.ts'
import type { ReadShape } from './read-shape.ts'
import { ShapedListView } from './shaped-list-view.ts'
import type { View } from './view.ts'

/**
 * @param entries as stored, newest first
 * @throws what a filter of the whole read throws; entries whose own filter throws are left out.
 */
export function createView(pattern: string, entries: readonly Entry[], shape: ReadShape): View {
  const stages = shape.stages(pattern)
  if (!hasGlob(pattern)) {
    return stages === 'plain'
      ? new ObjectView(entries[0])
      : new ObjectView(entries[0], (entry) => shape.applyReadObject(pattern, entry))
  }
  if (stages === 'plain') return new ListView(entries)
  const shown: Entry[] = []
  for (const entry of entries) {
    const record = shapeRecord(shape, entry)
    if (record.kind === 'entry') shown.push(record)
  }
  if (stages === 'objects') return shapeEntries(new ListView(shown.sort(newestFirst)), shape)
  const list = (all: readonly Entry[]): readonly Entry[] => shape.applyListStage(pattern, all)
  return shapeEntries(new ShapedListView(shown, list), shape)
}

/** The view with every record put through its entry's own filter first. */
function shapeEntries(view: View, shape: ReadShape): View {
  const shapeAll = (records: readonly StoredRecord[]): readonly StoredRecord[] =>
    records.map((record) => shapeRecord(shape, record))
  return {
    apply: (records): FrameBody | undefined => view.apply(shapeAll(records)),
    json: () => view.json(),
    get length() {
      return view.length
    },
    ...(view.entries === undefined ? {} : { entries: view.entries.bind(view) }),
    ...(view.list === undefined ? {} : { list: view.list.bind(view) }),
    ...(view.refresh === undefined ? {} : { refresh: view.refresh.bind(view) }),
  }
}

/** A hidden entry, or one whose filter refuses it, is to a list as one that is not there. */
function shapeRecord(shape: ReadShape, record: StoredRecord): StoredRecord {
  if (record.kind !== 'entry') return record
  let shown: Entry | undefined
  try {
    shown = shape.applyReadObject(record.key, record)
  } catch {
    shown = undefined
  }
  const { key, origin } = record
  return shown ?? { kind: 'tombstone', key, deleted: versionOf(record), origin }
}
