/** Registration: a node's record says where it is as long as it is alive. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hostAndPort, nodeAddress, Registrar } from '../../../cluster/members/membership.ts'
import type { Entry } from '../../../src/core/data/entry.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { openStore } from '../../support/store.ts'

let store: ReplicationStore
let time: FakeTime
let outward: string | undefined
let registrar: Registrar

beforeEach(async () => {
  time = new FakeTime()
  store = await openStore({ time })
  outward = '10.0.0.5'
  registrar = new Registrar({
    store,
    time,
    logger: SILENT_LOGGER,
    nodesKey: 'nodes/*',
    name: 'n',
    role: 'follower',
    advertise: undefined,
    address: { host: '0.0.0.0', port: 8800, url: 'http://0.0.0.0:8800' },
    outwardAddress: () => outward,
  })
  await registrar.start()
})
afterEach(async () => {
  await registrar.stop()
  await store.close()
})

const key = (): string => `nodes/${store.id}`

async function record(): Promise<Record<string, unknown> | undefined> {
  const entry = await store.get(key())
  return entry === undefined ? undefined : (JSON.parse(entry.data) as Record<string, unknown>)
}

describe('a node', () => {
  test('registers with what others need to reach it', async () => {
    expect(await record()).toMatchObject({
      id: store.id,
      name: 'n',
      ip: '10.0.0.5',
      port: 8800,
      url: 'http://10.0.0.5:8800',
      role: 'follower',
      startedAt: '2026-01-01T00:00:00.000Z',
    })
  })

  test('registers again when its record was deleted while it is alive', async () => {
    await store.delete(key())
    await time.advanceAsync(500)
    expect(await record()).toBeUndefined()
    await time.advanceAsync(600)
    expect(await record()).toMatchObject({ ip: '10.0.0.5' })
    await store.delete('nodes/*')
    await time.advanceAsync(1_100)
    expect(await record()).toMatchObject({ ip: '10.0.0.5' })
  })

  test('registers again when its address has changed', async () => {
    outward = '10.0.0.77'
    await time.advanceAsync(59_000)
    expect(await record()).toMatchObject({ ip: '10.0.0.5' })
    await time.advanceAsync(2_000)
    expect(await record()).toMatchObject({ ip: '10.0.0.77', url: 'http://10.0.0.77:8800' })
  })

  test('registers again when somebody wrote another address into its record', async () => {
    await store.set(key(), '{"ip":"10.6.6.6","port":1}')
    await time.advanceAsync(61_000)
    expect(await record()).toMatchObject({ ip: '10.0.0.5', port: 8800 })
  })

  test('writes nothing while its record is right, and nothing once it has stopped', async () => {
    const head = store.head
    await time.advanceAsync(600_000)
    expect(store.head).toBe(head)
    await registrar.stop()
    await store.delete(key())
    await time.advanceAsync(600_000)
    expect(await record()).toBeUndefined()
  })
})

describe('records of other programs', () => {
  const read = (data: string) =>
    nodeAddress({
      key: 'nodes/x',
      data,
      kind: 'entry',
      created: 1n,
      updated: 0n,
      origin: 'o',
    } as Entry)

  test.each([
    ['{"ip":"10.0.0.1","port":8800}', '10.0.0.1:8800'],
    ['{"IP":"10.0.0.1","Port":"8800"}', '10.0.0.1:8800'],
    ['{"ip":"::1","port":"1"}', '[::1]:1'],
    ['{"ip":"host.example","Port":65535}', 'host.example:65535'],
  ])('%s is a node at %s', (data, text) => {
    const address = read(data)
    expect(address?.id).toBe('x')
    expect(address && hostAndPort(address.host, address.port)).toBe(text)
  })

  test.each([
    '{"ip":"10.0.0.1"}',
    '{"ip":"","port":1}',
    '{"ip":7,"port":1}',
    '{"ip":"a","port":0}',
    '{"ip":"a","port":65536}',
    '{"ip":"a","port":"80x"}',
    '{"ip":"a","port":1.5}',
    '{"ip":"a","port":12345678901234567890}',
    '[1]',
    'null',
    '"text"',
    '7',
  ])('%s is ordinary data', (data) => {
    expect(read(data)).toBeUndefined()
  })
})
