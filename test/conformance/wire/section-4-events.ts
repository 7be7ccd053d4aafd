/** Sections 4.6 and 4.7: what each event sends to objects and lists. */
import { canonicalText } from '../../quick/core/exact-apply.ts'
import { ensure, equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { Probe } from './probe.ts'
import { sameAsRead } from './same-as-read.ts'
import type { Target } from './target.ts'

const EMPTY = '{"created":0,"updated":0,"index":"","data":{}}'

interface Operation {
  readonly op: string
  readonly path: string
}

export const eventCases: readonly WireCase[] = [
  ...section('4.6', {
    'an absent key begins with a snapshot of the empty object': async (target) => {
      const probe = await target.subscribe(target.at('a'))
      const { snapshot, data } = await probe.envelope(0)
      equal([snapshot, data], [true, EMPTY], 'first frame')
    },
    'a present key begins with a snapshot of it': async (target) => {
      await target.store(target.at('a'), '{"x":[1.0]}')
      const probe = await target.subscribe(target.at('a'))
      equal((await probe.envelope(0)).snapshot, true, 'snapshot')
      await sameAsRead(target, probe, 'a')
    },
    'set, nothing before: a snapshot': async (target) => {
      const probe = await target.subscribe(target.at('a'))
      await target.store(target.at('a'), '1')
      equal((await probe.envelope(1)).snapshot, true, 'snapshot')
      await sameAsRead(target, probe, 'a')
    },
    'set, something before: a patch from the meta root': async (target) => {
      const before = { list: [1, 2, 3, { deep: 'x'.repeat(100) }], 'odd/~name': 1, gone: 1 }
      await target.store(target.at('a'), JSON.stringify(before))
      const probe = await target.subscribe(target.at('a'))
      const after = { list: [1, 3, { deep: 'x'.repeat(100), y: 1 }], 'odd/~name': 2, fresh: {} }
      await target.store(target.at('a'), JSON.stringify(after))
      const { snapshot, data } = await probe.envelope(1)
      equal(snapshot, false, 'snapshot')
      for (const { op, path } of JSON.parse(data) as Operation[]) {
        matches(op, /^(?:add|remove|replace)$/, 'operation')
        matches(path, /^\/(?:data|created|updated|index|path)/, 'path')
      }
      await sameAsRead(target, probe, 'a')
    },
    'set with equal data: updated moves': async (target) => {
      await target.store(target.at('a'), '1')
      const probe = await target.subscribe(target.at('a'))
      await target.store(target.at('a'), '1')
      await probe.envelope(1)
      await sameAsRead(target, probe, 'a')
    },
    'del, something before: a patch to the empty object': async (target) => {
      await target.store(target.at('a'), JSON.stringify({ long: 'x'.repeat(200) }))
      const probe = await target.subscribe(target.at('a'))
      await target.request('DELETE', target.at('a'))
      equal((await probe.envelope(1)).snapshot, false, 'snapshot')
      equal(probe.state, canonicalText(EMPTY), 'state')
    },
    'a glob delete reaches the object': async (target) => {
      await target.store(target.at('a'), '1')
      const probe = await target.subscribe(target.at('a'))
      await target.request('DELETE', target.at('*'))
      await probe.envelope(1)
      equal(probe.state, canonicalText(EMPTY), 'state')
    },
    'a merge sends only what changed': async (target) => {
      const kept = 'kept '.repeat(100)
      await target.store(target.at('a'), JSON.stringify({ kept, n: 1 }))
      const probe = await target.subscribe(target.at('a'))
      await target.patch(target.at('a'), '{"n":2}')
      const { snapshot, data } = await probe.envelope(1)
      ensure(!snapshot && !data.includes('kept kept'), 'a patch without what stayed')
      await sameAsRead(target, probe, 'a')
    },
  }),
  ...section('4.7', {
    'begins with a snapshot, newest first': async (target) => {
      for (const name of ['b', 'a', 'c']) await target.store(target.at(name), '1')
      const probe = await target.subscribe(target.at('*'))
      const { snapshot, data } = await probe.envelope(0)
      equal(snapshot, true, 'snapshot')
      const order = (JSON.parse(data) as { index: string }[]).map(({ index }) => index)
      equal(order, ['c', 'a', 'b'], 'order')
    },
    'set, key not in the list: one add with the whole meta object': async (target) => {
      const probe = await listOfThree(target)
      await target.store(target.at('d'), '{"x":1}')
      const operation = await onlyOperation(probe, 1)
      equal(operation.op, 'add', 'operation')
      matches(operation.path, /^\/\d+$/, 'path')
      ensure((await probe.envelope(1)).data.includes(`"path":"${target.prefix}/d"`), 'path field')
      await sameAsRead(target, probe, '*')
    },
    'set, key in the list: one replace, also when nothing changed': async (target) => {
      const probe = await listOfThree(target)
      for (const frame of [1, 2]) {
        await target.store(target.at('b'), '2')
        const operation = await onlyOperation(probe, frame)
        equal(operation.op, 'replace', 'operation')
        matches(operation.path, /^\/\d+$/, 'path')
        await sameAsRead(target, probe, '*')
      }
    },
    'del, key in the list: one remove': async (target) => {
      const probe = await listOfThree(target)
      await target.request('DELETE', target.at('b'))
      equal((await onlyOperation(probe, 1)).op, 'remove', 'operation')
      await sameAsRead(target, probe, '*')
    },
    'del, key not in the list: nothing': async (target) => {
      const probe = await listOfThree(target)
      await target.request('DELETE', target.at('absent'))
      await target.request('DELETE', target.at('absent/*'))
      await target.store(target.at('d'), '1')
      equal((await onlyOperation(probe, 1)).op, 'add', 'the next frame is the write')
    },
    'a glob delete of the whole list: one snapshot of []': async (target) => {
      const probe = await listOfThree(target)
      await target.request('DELETE', target.at('*'))
      const { snapshot, data } = await probe.envelope(1)
      equal([snapshot, data], [true, '[]'], 'frame')
      await target.store(target.at('d'), '1')
      await probe.envelope(2)
      equal(probe.frames.length, 3, 'frames')
    },
    'any glob may be subscribed to': async (target) => {
      for (const glob of ['a*', 'a/*/b', '*/*/*']) {
        const probe = await target.subscribe(target.at(glob))
        const key = glob === 'a*' ? 'ab' : 'a/x/b'
        await target.store(target.at(key), '1')
        await probe.envelope(1)
        await sameAsRead(target, probe, glob)
        await target.request('DELETE', target.at(key))
      }
    },
  }),
  ...section(
    '4.7',
    {
      'a glob delete removes only what it covers': async (target) => {
        const probe = await listOfThree(target)
        await target.request('DELETE', target.at('b*'))
        await probe.envelope(1)
        await sameAsRead(target, probe, '*')
      },
    },
    { tag: 'Q' },
  ),
]

/** A subscription to a list of entries that are long enough for a patch to pay. */
async function listOfThree(target: Target): Promise<Probe> {
  for (const name of ['a', 'b', 'c']) {
    await target.store(target.at(name), JSON.stringify('long '.repeat(100)))
  }
  return target.subscribe(target.at('*'))
}

async function onlyOperation(probe: Probe, frame: number): Promise<Operation> {
  const { snapshot, data } = await probe.envelope(frame)
  equal(snapshot, false, `snapshot of frame ${frame}`)
  const operations = JSON.parse(data) as Operation[]
  equal(operations.length, 1, `operations of frame ${frame}`)
  return operations[0] ?? { op: '', path: '' }
}
