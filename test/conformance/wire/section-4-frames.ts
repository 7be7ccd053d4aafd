/** Sections 4.2–4.5: frames, envelopes, versions, and which events reach a subscription. */

import { canonicalText } from '../../quick/core/exact-apply.ts'
import { waitFor } from '../../support/wait.ts'
import { ensure, equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'
import { sameAsRead } from './same-as-read.ts'

export const frameCases: readonly WireCase[] = [
  ...section('4.2', {
    'every frame is binary': async (target) => {
      const probe = await target.subscribe(target.at('*'))
      await target.store(target.at('a'), '1')
      await probe.envelope(1)
      equal(
        probe.frames.map(({ isBinary }) => isBinary),
        [true, true],
        'binary',
      )
    },
    'what a client sends is discarded': async (target) => {
      const probe = await target.subscribe(target.at('a'))
      probe.socket.send('text')
      probe.socket.send(Buffer.from([255, 254]))
      await target.store(target.at('a'), '1')
      equal((await probe.envelope(1)).snapshot, true, 'the next frame is the write')
    },
  }),
  ...section('4.3', {
    'an envelope is snapshot, version, data in this order': async (target) => {
      const probe = await target.subscribe(target.at('a'))
      await target.store(target.at('a'), '1')
      await target.store(target.at('a'), '2')
      await probe.frame(2)
      for (const { text } of probe.frames) {
        matches(
          text,
          /^\{"snapshot":(?:true|false),"version":"[1-9a-f][0-9a-f]*","data":.+\}$/s,
          'frame',
        )
      }
    },
    'stamps and numbers in frames are digit-exact': async (target) => {
      const probe = await target.subscribe(target.at('a'))
      await target.store(target.at('a'), '{"n":9007199254740993}')
      await target.store(target.at('a'), '{"n":9007199254740995.0}')
      await probe.envelope(2)
      await sameAsRead(target, probe, 'a')
    },
  }),
  ...section('4.4', {
    'a current v gets no first frame, and patches from there': async (target) => {
      await target.store(target.at('a'), '1')
      const first = await target.subscribe(target.at('*'))
      const { version } = await first.envelope(0)
      const resumed = await target.socket(`${target.at('*')}?v=${version}`)
      resumed.state = first.state
      await target.store(target.at('b'), '2')
      equal((await resumed.envelope(0)).snapshot, false, 'the first frame is the patch')
      await sameAsRead(target, resumed, '*')
    },
    'a current v of an object gets no first frame either': async (target) => {
      const long = 'long '.repeat(100)
      await target.store(target.at('a'), JSON.stringify({ long, n: 1 }))
      const first = await target.subscribe(target.at('a'))
      const { version } = await first.envelope(0)
      const resumed = await target.socket(`${target.at('a')}?v=${version}`)
      resumed.state = first.state
      await target.store(target.at('a'), JSON.stringify({ long, n: 2 }))
      equal((await resumed.envelope(0)).snapshot, false, 'the first frame is the patch')
      await sameAsRead(target, resumed, 'a')
    },
    'another v gets a snapshot': async (target) => {
      const first = await target.subscribe(target.at('a'))
      const { version } = await first.envelope(0)
      await target.store(target.at('a'), '1')
      for (const v of [version, '0', 'no-version']) {
        const late = await target.subscribe(`${target.at('a')}?v=${v}`)
        equal((await late.envelope(0)).snapshot, true, `first frame for v=${v}`)
        await sameAsRead(target, late, 'a')
      }
    },
    'the version moves with every frame and counts per key': async (target) => {
      const probe = await target.subscribe(target.at('a'))
      await target.store(target.at('a'), '1')
      await target.store(target.at('a'), '2')
      await probe.frame(2)
      const versions = await Promise.all([0, 1, 2].map((i) => probe.envelope(i)))
      equal(new Set(versions.map(({ version }) => version)).size, 3, 'different versions')
      await target.store(target.at('other'), '1')
      const late = await target.subscribe(target.at('a'))
      equal((await late.envelope(0)).version, versions[2]?.version, 'version of a late joiner')
    },
  }),
  ...section('4.5', {
    'an event reaches exactly the subscriptions that cover its key': async (target) => {
      const names = ['a', 'a/*', 'a/x', 'a/x/*', '*/*', 'a/y', 'a/*/*']
      const probes = await Promise.all(names.map((name) => target.subscribe(target.at(name))))
      await target.store(target.at('a/x'), '1')
      // Another event at every subscription, so that what did not come is known not to come.
      for (const name of ['a', 'a/z', 'a/x', 'a/x/z', 'a/y']) {
        await target.store(target.at(name), '2')
      }
      await Promise.all(
        probes.map((probe, i) =>
          waitFor(async () => {
            const { body } = await target.get(target.at(names[i] ?? ''))
            return probe.state === canonicalText(body)
          }),
        ),
      )
      const counts = probes.map(({ frames }) => frames.length - 1)
      equal(counts, [1, 4, 2, 1, 4, 1, 1], 'frames after the first')
    },
  }),
  ...section(
    '4.2',
    {
      'at shutdown the connection ends': async (target) => {
        const own = await target.own()
        const probe = await own.subscribe('/a')
        await own.shutDown()
        const closed = await waitFor(() => probe.closed, { what: 'the close' })
        ensure([1001, 1006].includes(closed.code), `close code ${closed.code}`)
      },
    },
    { needs: 'own' },
  ),
]
