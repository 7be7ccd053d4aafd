/** One look-up per name at a time, whatever the number of dials that wait for it. */
import type { LookupFunction } from 'node:net'
import { describe, expect, it } from 'vitest'
import { createSharedLookup } from '../../../src/server/dial/shared-lookup.ts'
import { createWsTransport } from '../../../src/server/dial/ws-transport.ts'
import { waitFor } from '../../support/wait.ts'

type Callback = Parameters<LookupFunction>[2]

/** A resolver that answers when it is told to. */
function heldResolver(): { asked: string[]; lookup: LookupFunction; answer: Callback } {
  const asked: string[] = []
  let waiting: Callback[] = []
  return {
    asked,
    lookup: (hostname, _options, callback) => {
      asked.push(hostname)
      waiting.push(callback)
    },
    answer: (...answer) => {
      const callbacks = waiting
      waiting = []
      for (const callback of callbacks) callback(...answer)
    },
  }
}

describe('a shared look-up', () => {
  it('asks once for all who want the same name, and again for those who come later', () => {
    const resolver = heldResolver()
    const lookup = createSharedLookup(resolver.lookup)
    const got: unknown[] = []
    for (let i = 0; i < 3; i++) lookup('leader', {}, (...answer) => got.push(answer))
    expect(resolver.asked).toEqual(['leader'])
    resolver.answer(null, '10.0.0.1', 4)
    expect(got).toEqual(Array.from({ length: 3 }, () => [null, '10.0.0.1', 4]))
    lookup('leader', {}, (...answer) => got.push(answer))
    resolver.answer(null, '10.0.0.2', 4)
    expect(resolver.asked).toEqual(['leader', 'leader'])
    expect(got[3]).toEqual([null, '10.0.0.2', 4])
  })

  it('gives a failure to all who wait, and keeps none of it', () => {
    const resolver = heldResolver()
    const lookup = createSharedLookup(resolver.lookup)
    const failure = Object.assign(new Error('getaddrinfo EAI_AGAIN leader'), { code: 'EAI_AGAIN' })
    const got: unknown[] = []
    for (let i = 0; i < 2; i++) lookup('leader', {}, (error) => got.push(error))
    resolver.answer(failure, '')
    expect(got).toEqual([failure, failure])
    lookup('leader', {}, () => undefined)
    expect(resolver.asked).toHaveLength(2)
  })

  it('asks for other names, and in other ways, at the same time', () => {
    const resolver = heldResolver()
    const lookup = createSharedLookup(resolver.lookup)
    lookup('leader', {}, () => undefined)
    lookup('proxy', {}, () => undefined)
    lookup('leader', { all: true }, () => undefined)
    lookup('leader', { family: 6 }, () => undefined)
    expect(resolver.asked).toEqual(['leader', 'proxy', 'leader', 'leader'])
  })

  it('lets a bounded number wait, and tells the others to try again', () => {
    const resolver = heldResolver()
    const lookup = createSharedLookup(resolver.lookup)
    const refused: unknown[] = []
    for (let i = 0; i < 1000; i++) lookup('leader', {}, (error) => refused.push(error))
    expect(refused.length).toBeGreaterThan(500)
    expect(refused[0]).toMatchObject({ code: 'EAI_AGAIN' })
    expect(resolver.asked).toHaveLength(1)
  })
})

it('dials that give up leave no more than one look-up behind', async () => {
  const resolver = heldResolver()
  const transport = createWsTransport({ handshakeTimeoutMs: 20, lookup: resolver.lookup })
  let ended = 0
  for (let i = 0; i < 20; i++) {
    transport.dial({ url: 'ws://leader.example:8800/' }, () => undefined, {
      message: () => undefined,
      close: () => void ended++,
    })
    await waitFor(() => ended === i + 1)
  }
  expect(resolver.asked).toEqual(['leader.example'])
})
