/** Compares what a subscriber holds with what a fresh read gives. */
import { canonicalText } from '../../quick/core/exact-apply.ts'
import { equal } from './assert.ts'
import type { Probe } from './probe.ts'
import type { Target } from './target.ts'

/** Positions are for display, so that lists are compared as sets. */
export async function sameAsRead(target: Target, probe: Probe, name: string): Promise<void> {
  const { body } = await target.get(target.at(name))
  const expected = canonicalText(body)
  if (!name.includes('*')) return equal(probe.state, expected, 'state')
  equal(asSet(probe.state ?? ''), asSet(expected), 'state')
}

function asSet(list: string): string[] {
  return list
    .slice(1, -1)
    .split(/,(?=\{"created":)/)
    .sort()
}
