/** The life of a pool: loading beside commits, resting, faults, bounds. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { metaListJson } from '../../../src/core/data/entry.ts'
import { isStateError } from '../../../src/core/errors.ts'
import { ListView } from '../../../src/fanout/views/list-view.ts'
import { canonicalText } from '../core/exact-apply.ts'
import { createBench, type FakeSink, join, settle } from './fake-source.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

describe('a pool that loads', () => {
  it('joins its snapshot and the commits beside it without a gap and without a double', async () => {
    const { hub, source } = createBench()
    source.set('a/1', '1')
    source.holdReads()
    const joining = join(hub, 'a/*')
    await settle()
    source.set('a/2', '2')
    source.set('a/1', '3')
    source.delete('a/2')
    source.set('a/4', '4')
    await source.answerReads()
    const { sink } = await joining
    expect(sink.frames).toHaveLength(1)
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
    source.set('a/5', '5')
    expect(sink.frames[1]?.snapshot).toBe(false)
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
  })

  it('does not apply again what its snapshot held before the commit was announced', async () => {
    const { hub, source } = createBench()
    source.holdCommits()
    source.set('a/1', '1')
    source.set('a/1', '2')
    const { sink } = await join(hub, 'a/*')
    source.announceCommits()
    expect(sink.frames).toHaveLength(1)
    source.set('a/1', '3')
    expect(sink.frames).toHaveLength(2)
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
  })

  it('is read once for many subscribers', async () => {
    const { hub, source } = createBench()
    source.holdReads()
    const joining = [1, 2, 3].map(() => join(hub, 'a/*'))
    await settle()
    await source.answerReads()
    await Promise.all(joining)
    expect(source.reads).toBe(1)
    expect(hub.metrics()).toMatchObject({ pools: 1, subscribers: 3 })
  })

  it('is read again when more keys changed meanwhile than it keeps', async () => {
    const { hub, source } = createBench({ maxPendingKeys: 10 })
    source.holdReads()
    const joining = join(hub, 'a/*')
    await settle()
    for (let i = 0; i < 30; i++) source.set(`a/${i}`, '0')
    await source.answerReads()
    const { sink } = await joining
    expect(hub.metrics().rereads).toBe(1)
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
  })

  it('fails the subscription when the read fails, and loads for the next', async () => {
    const { hub, source } = createBench()
    source.failure = new Error('disk gone')
    await expect(hub.subscribe('a')).rejects.toThrow('disk gone')
    expect(hub.metrics()).toMatchObject({ failedReads: 1, pools: 0, idlePools: 0 })
    const { sink } = await join(hub, 'a')
    expect(sink.frames).toHaveLength(1)
  })

  it('refuses subscriptions once the hub is closed, also those under way', async () => {
    const { hub, source } = createBench()
    source.holdReads()
    const refused = expect(hub.subscribe('a')).rejects.toSatisfy((error) =>
      isStateError(error, 'closing'),
    )
    hub.close()
    await source.answerReads()
    await refused
    await expect(hub.subscribe('a')).rejects.toSatisfy((error) => isStateError(error, 'closing'))
  })
})

describe('a pool without users', () => {
  it('still honours its version when nothing has changed', async () => {
    const { hub, source } = createBench()
    source.set('a/1', '1')
    const first = await join(hub, 'a/*')
    first.subscription.close()
    source.set('b/1', '1')
    expect(hub.metrics()).toMatchObject({ pools: 0, idlePools: 1 })
    const again = await join(hub, 'a/*', first.sink.version)
    expect(again.sink.frames).toEqual([])
    source.set('a/2', '2')
    expect(again.sink.frames).toHaveLength(1)
  })

  it('is forgotten at the first commit that touches it', async () => {
    const { hub, source } = createBench()
    const first = await join(hub, 'a/*')
    first.subscription.close()
    source.set('a/1', '1')
    expect(hub.metrics()).toMatchObject({ idlePools: 0 })
    const again = await join(hub, 'a/*', first.sink.version)
    expect(again.sink.frames.map((frame) => frame.snapshot)).toEqual([true])
  })

  it('gives up its version when it is touched while it loads again', async () => {
    const { hub, source } = createBench()
    const first = await join(hub, 'a/*')
    first.subscription.close()
    source.holdReads()
    const joining = join(hub, 'a/*', first.sink.version)
    await settle()
    source.set('a/1', '1')
    await source.answerReads()
    const { sink } = await joining
    expect(sink.frames.map((frame) => frame.snapshot)).toEqual([true])
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
  })

  it('gives up its version when so much changes while it loads that it is read again', async () => {
    const { hub, source } = createBench({ maxPendingKeys: 2 })
    const first = await join(hub, 'a/*')
    first.subscription.close()
    source.holdReads()
    const joining = join(hub, 'a/*', first.sink.version)
    await settle()
    for (let i = 0; i < 5; i++) source.set(`a/${i}`, '1')
    await source.answerReads()
    const { sink } = await joining
    expect(sink.frames.map((frame) => frame.snapshot)).toEqual([true])
  })

  it('gives up its version when the read holds commits it has not heard of', async () => {
    const { hub, source } = createBench()
    const first = await join(hub, 'a/*')
    first.subscription.close()
    source.holdCommits()
    source.set('a/1', '1')
    const { sink } = await join(hub, 'a/*', first.sink.version)
    expect(sink.frames.map((frame) => frame.snapshot)).toEqual([true])
  })

  it('is forgotten when more rest than the bound, longest resting first', async () => {
    const { hub } = createBench({ maxIdlePools: 2 })
    const sinks: FakeSink[] = []
    for (const key of ['a', 'b', 'c']) {
      const { sink, subscription } = await join(hub, key)
      subscription.close()
      sinks.push(sink)
    }
    expect(hub.metrics().idlePools).toBe(2)
    expect((await join(hub, 'a', sinks[0]?.version)).sink.frames).toHaveLength(1)
    expect((await join(hub, 'c', sinks[2]?.version)).sink.frames).toHaveLength(0)
  })

  it('keeps nothing when the bound is 0', async () => {
    const { hub } = createBench({ maxIdlePools: 0 })
    const { subscription } = await join(hub, 'a')
    subscription.close()
    subscription.close()
    expect(hub.metrics()).toMatchObject({ pools: 0, idlePools: 0, subscribers: 0 })
  })
})

describe('a pool that fails', () => {
  it('reads again and gives everyone a snapshot; the commit goes on', async () => {
    const { hub, source } = createBench()
    const a = await join(hub, 'a/*')
    const b = await join(hub, '*/1')
    vi.spyOn(ListView.prototype, 'apply').mockImplementationOnce(() => {
      throw new Error('fault')
    })
    source.set('a/1', '1')
    await settle()
    expect(hub.metrics().reloads).toBe(1)
    for (const { sink } of [a, b]) {
      expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
    }
  })

  it('tries again after a pause when it can not be read, and starts no timer once closed', async () => {
    const { hub, source, time } = createBench({ reloadDelayMs: 500 })
    const { sink } = await join(hub, 'a/*')
    vi.spyOn(ListView.prototype, 'apply').mockImplementationOnce(() => {
      throw new Error('fault')
    })
    source.failure = new Error('disk gone')
    source.set('a/1', '1')
    await settle()
    expect(sink.frames).toHaveLength(1)
    source.set('a/2', '2')
    await time.advanceAsync(600)
    expect(sink.frames).toHaveLength(2)
    expect(sink.state).toBe(canonicalText(metaListJson(source.list('a/*'))))
    hub.close()
    expect(time.pending).toBe(0)
  })

  it('costs only the connection whose sink throws', async () => {
    const { hub, source } = createBench()
    const broken = await join(hub, 'a')
    const sound = await join(hub, 'a')
    broken.sink.send = () => {
      throw new Error('socket fault')
    }
    source.set('a', '1')
    source.set('a', '2')
    expect(broken.sink.closed?.code).toBe(1011)
    expect(sound.sink.frames).toHaveLength(3)
    expect(hub.metrics().reloads).toBe(0)
  })
})
