/** Which frames a change gives: wire format sections 4.3 to 4.7. */
import { describe, expect, it } from 'vitest'
import { EMPTY_META, metaJson, metaListJson } from '../../../src/core/data/entry.ts'
import { canonicalText } from '../core/exact-apply.ts'
import { createBench, join } from './fake-source.ts'

describe('a single-key subscriber', () => {
  it('begins with the empty object when the key is absent', async () => {
    const { hub } = createBench()
    const { sink } = await join(hub, 'a')
    expect(sink.frames).toEqual([{ snapshot: true, version: '1001', data: EMPTY_META }])
  })

  it('gets a snapshot for a set from absent, then patches', async () => {
    const { hub, source } = createBench()
    const { sink } = await join(hub, 'box/a')
    source.set('box/a', '{"n":1}')
    source.set('box/a', '{"n":2}')
    expect(sink.frames.map((frame) => frame.snapshot)).toEqual([true, true, false])
    expect(sink.patches).toEqual([
      '[{"op":"replace","path":"/updated","value":2000000000000001},{"op":"replace","path":"/data/n","value":2}]',
    ])
  })

  it('gets a patch to the empty object for a delete', async () => {
    const { hub, source } = createBench()
    source.set('a', '{"n":1}')
    const { sink } = await join(hub, 'a')
    source.delete('a')
    expect(sink.patches).toEqual([
      '[{"op":"replace","path":"/created","value":0},{"op":"replace","path":"/index","value":""},{"op":"remove","path":"/path"},{"op":"remove","path":"/data/n"}]',
    ])
    expect(sink.state).toBe(canonicalText(EMPTY_META))
  })

  it('hears of a set with the same data, because updated moves', async () => {
    const { hub, source } = createBench()
    source.set('a', '1')
    const { sink } = await join(hub, 'a')
    source.set('a', '1')
    expect(sink.patches).toHaveLength(1)
  })

  it('hears nothing of a delete while absent, nor of other keys', async () => {
    const { hub, source } = createBench()
    const { sink } = await join(hub, 'a')
    source.delete('a')
    source.set('b', '1')
    expect(sink.frames).toHaveLength(1)
  })

  it('gets a snapshot when the data has members that patch libraries refuse', async () => {
    const { hub, source } = createBench()
    source.set('a', '{"__proto__":1}')
    const { sink } = await join(hub, 'a')
    source.set('a', '{"__proto__":2}')
    expect(sink.frames.map((frame) => frame.snapshot)).toEqual([true, true])
    expect(sink.state).toBe(
      canonicalText(
        '{"created":1000000000000001,"updated":2000000000000001,"index":"a","path":"a","data":{"__proto__":2}}',
      ),
    )
  })

  it('gets a snapshot when that is shorter than a long patch', async () => {
    const { hub, source } = createBench()
    const list = (from: number): string =>
      JSON.stringify(Array.from({ length: 300 }, (_, i) => i + from))
    source.set('a', list(0))
    const { sink } = await join(hub, 'a')
    source.set('a', list(5000))
    expect(sink.frames[1]?.snapshot).toBe(true)
  })
})

describe('a list subscriber', () => {
  it('begins with the list, newest first', async () => {
    const { hub, source } = createBench()
    for (const key of ['a/1', 'a/2', 'b/1', 'a/x/y']) source.set(key, '0')
    const { sink } = await join(hub, 'a/*')
    expect(sink.frames[0]?.data).toBe(metaListJson(source.list('a/*')))
    expect(source.list('a/*').map((entry) => entry.key)).toEqual(['a/2', 'a/1'])
  })

  it('gets each new entry where the snapshot order has it', async () => {
    const { hub, source } = createBench()
    const { sink } = await join(hub, 'a/*')
    source.set('a/1', '1')
    source.set('a/2', '2')
    source.set('a/0', '3', 1n)
    expect(sink.patches.map((patch) => JSON.parse(patch)[0].path)).toEqual(['/0', '/0', '/2'])
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
  })

  it('gets the whole entry again for a set, also with the same data', async () => {
    const { hub, source } = createBench()
    source.set('a/1', '1')
    source.set('a/2', '2')
    const { sink } = await join(hub, 'a/*')
    source.set('a/1', '1')
    const entry = source.list('a/*')[1]
    expect(sink.patches).toEqual([
      `[{"op":"replace","path":"/1","value":${entry === undefined ? '' : metaJson(entry)}}]`,
    ])
  })

  it('gets remove and add when a peer changes where an entry belongs', async () => {
    const { hub, source } = createBench()
    for (const key of ['a/1', 'a/2', 'a/3']) source.set(key, '0')
    const { sink } = await join(hub, 'a/*')
    source.set('a/3', '1', 5n)
    expect(
      sink.patches.map((patch) =>
        JSON.parse(patch).map((op: { op: string; path: string }) => `${op.op} ${op.path}`),
      ),
    ).toEqual([['remove /0', 'add /2']])
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
  })

  it('gets a remove for a delete, and nothing for the delete of an entry it does not hold', async () => {
    const { hub, source } = createBench()
    source.set('a/1', '1')
    source.set('a/2', '2')
    const { sink } = await join(hub, 'a/*')
    source.delete('a/1')
    source.delete('a/9')
    source.delete('a/2')
    expect(sink.patches).toEqual(['[{"op":"remove","path":"/1"}]', '[{"op":"remove","path":"/0"}]'])
  })

  it('gets one empty snapshot when a glob delete takes everything', async () => {
    const { hub, source } = createBench()
    for (let i = 0; i < 50; i++) source.set(`a/${i}`, '0')
    const { sink } = await join(hub, 'a/*')
    source.delete(...source.list('a/*').map((entry) => entry.key))
    expect(sink.frames).toHaveLength(2)
    expect(sink.frames[1]).toMatchObject({ snapshot: true, data: '[]' })
  })

  it('loses only the entries that a glob delete matched, in one frame', async () => {
    const { hub, source } = createBench()
    for (const key of ['a/1', 'a/2', 'b/1', 'b/2']) source.set(key, '0')
    const { sink } = await join(hub, '*/*')
    source.delete('a/1', 'a/2')
    expect(sink.frames).toHaveLength(2)
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('*/*'))))
  })

  it('gets one frame for a commit of many changes, with several operations', async () => {
    const { hub, source } = createBench()
    source.set('a/1', '1')
    const { sink } = await join(hub, 'a/*')
    const base = { kind: 'entry', origin: 'peer', updated: 0n } as const
    source.commit([
      { ...base, key: 'a/2', created: 7n, data: '2' },
      { kind: 'tombstone', key: 'a/1', deleted: 9n, origin: 'peer' },
      { ...base, key: 'a/3', created: 8n, data: '3' },
      { ...base, key: 'a/2', created: 7n, updated: 9n, data: '4' },
    ])
    expect(sink.frames).toHaveLength(2)
    expect(sink.frames[1]?.snapshot).toBe(false)
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
  })

  it('gets a snapshot when a large commit replaces most of the list', async () => {
    const { hub, source } = createBench()
    for (let i = 0; i < 20; i++) source.set(`a/${i}`, `"${'x'.repeat(60)}"`)
    const { sink } = await join(hub, 'a/*')
    const entries = source.list('a/*')
    source.commit([
      ...entries.map((entry) => ({ ...entry, updated: 99n })),
      ...entries.map((entry) => ({ ...entry, updated: 100n })),
    ])
    expect(sink.frames[1]?.snapshot).toBe(true)
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
  })
})

describe('versions', () => {
  it('change with every frame and only then, also without a connection', async () => {
    const { hub, source } = createBench()
    const held = await hub.subscribe('a')
    const versions = [hub.describe()[0]?.version]
    source.set('a', '1')
    versions.push(hub.describe()[0]?.version)
    source.delete('b')
    versions.push(hub.describe()[0]?.version)
    expect(versions[1]).not.toBe(versions[0])
    expect(versions[2]).toBe(versions[1])
    held.close()
  })

  it('spare a client that holds the current one its first frame, and no other', async () => {
    const { hub, source } = createBench()
    const first = await join(hub, 'a/*')
    source.set('a/1', '1')
    const same = await join(hub, 'a/*', first.sink.version)
    const unknown = await join(hub, 'a/*', 'ff')
    expect(same.sink.frames).toEqual([])
    expect(unknown.sink.frames.map((frame) => frame.snapshot)).toEqual([true])
  })

  it('are shared by all frames of one change, down to the same bytes', async () => {
    const { hub, source } = createBench()
    const a = await join(hub, '*')
    const b = await join(hub, '*')
    expect(b.sink.bytes[0]).toBe(a.sink.bytes[0])
    source.set('a', '1')
    expect(b.sink.bytes[1]).toBe(a.sink.bytes[1])
  })
})
