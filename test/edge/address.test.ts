/** A leader that is at another address all of a sudden, under the same name. */
import { describe, expect, it } from 'vitest'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { startNode, type TestNode } from '../cluster/nodes.ts'
import { waitFor } from '../support/wait.ts'
import { startRelay } from './gateway.ts'

const WAIT = { deadlineMs: 20_000 }

const data = async (node: TestNode, key: string): Promise<string | undefined> =>
  (await node.server.store.get(key))?.data

const portOf = ({ url }: TestNode): number => Number(new URL(url).port)

describe('a leader whose address changes', () => {
  it('is found again; what was written meanwhile on either side gets to the other', async () => {
    const storage = new MemoryStorage()
    const before = await startNode({ storage })
    const name = await startRelay(before.url)
    const edge = await startNode({ clusterUrl: name.url })
    await edge.live()
    await before.request('POST', '/items/a', '1')
    await waitFor(async () => (await data(edge, 'items/a')) === '1', WAIT)
    name.switchTo(undefined)
    await before.server.close()
    await edge.request('POST', '/items/b', '2')
    const after = await startNode({ storage })
    await after.request('POST', '/items/c', '3')
    name.switchTo(portOf(after))
    await waitFor(async () => (await data(after, 'items/b')) === '2', WAIT)
    await waitFor(async () => (await data(edge, 'items/c')) === '3', WAIT)
    await edge.live()
    expect(await data(edge, 'items/a')).toBe('1')
    const passed = await edge.request('POST', '/items/d', '4', { 'if-none-match': '*' })
    expect([passed.status, await data(after, 'items/d')]).toEqual([200, '4'])
  })
})
