import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createClient } from '../../../src/client/index.ts'
import { isStateError } from '../../../src/core/errors.ts'
import {
  addressGroup,
  clientAddress,
  trustProxies,
} from '../../../src/server/admission/client-address.ts'
import { createServer } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { ask, get, hold, serveCalmly, until, upgrade } from './fixtures.ts'

const FIRST = '127.0.0.1'
const SECOND = '127.0.0.2'

/** What a proxy adds. */
const through = (...addresses: string[]): { headers: Record<string, string> } => ({
  headers: { 'X-Forwarded-For': addresses.join(', ') },
})

describe('a limit for each address', () => {
  it('refuses one address with 429, and no other', async () => {
    const node = await serveCalmly({ maxConnectionsPerAddress: 2 })
    const [kept] = await hold(node, 1)
    await upgrade(node, '/a')
    for (const refused of [await ask(node, get('/a')), await upgrade(node, '/a')]) {
      expect(refused.status).toBe(429)
      expect(refused.body).toMatch(
        /^ooo: 2 connections from 127\.0\.0\.1 are open, which is the limit; retry in \d+ ms\n$/,
      )
      expect(Number(refused.headers['ooo-retry-after-ms'])).toBeGreaterThanOrEqual(1000)
      expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    }
    expect((await ask(node, get('/a'), SECOND)).status).toBe(404)
    expect((await upgrade(node, '/a', { from: SECOND })).status).toBe(101)
    expect((await kept?.ask(get('/a')))?.status).toBe(404)
    expect(node.server.admissionMetrics.refused).toMatchObject({ address: 2, connections: 0 })
  })

  it('is an overload to clients that wait for an answer', async () => {
    const node = await serveCalmly({ maxConnectionsPerAddress: 1 })
    await hold(node, 1)
    const client = createClient({ url: node.url, WebSocket })
    const error: unknown = await client.get('a').catch((refusal: unknown) => refusal)
    expect(isStateError(error, 'overloaded')).toBe(true)
  })

  it('leaves health to be asked for, also from an address that is full', async () => {
    const node = await serveCalmly({ maxConnectionsPerAddress: 1 })
    await hold(node, 1)
    const answer = await ask(node, get('/-/healthz'))
    expect([answer.status, answer.headers.connection]).toEqual([200, 'close'])
  })

  it('has room again when a connection has ended', async () => {
    const node = await serveCalmly({ maxConnectionsPerAddress: 1 })
    for (let i = 0; i < 3; i++) {
      const [caller] = await hold(node, 1, SECOND)
      expect((await ask(node, get('/a'), SECOND)).status).toBe(429)
      caller?.socket.destroy()
      await until(node, ({ plain, surplus }) => plain === 0 && surplus === 0)
    }
    const { caller, status } = await upgrade(node, '/a', { from: SECOND })
    expect(status).toBe(101)
    caller.socket.destroy()
    await until(node, ({ subscribers }) => subscribers === 0)
    expect((await ask(node, get('/a'), SECOND)).status).toBe(404)
  })

  it('is off unless it is set', async () => {
    const node = await serveCalmly({})
    await hold(node, 50)
    expect((await ask(node, get('/a'))).status).toBe(404)
  })
})

describe('behind a trusted proxy', () => {
  it('subscribers are told apart by the address that the proxy names', async () => {
    const node = await serveCalmly({
      maxConnectionsPerAddress: 1,
      trustedProxies: [FIRST, '10.0.0.0/8'],
    })
    expect((await upgrade(node, '/a', through('192.0.2.1'))).status).toBe(101)
    const refused = await upgrade(node, '/a', through('192.0.2.1'))
    expect(refused.status).toBe(429)
    expect(refused.body).toContain('1 connections from 192.0.2.1 are open')
    expect((await upgrade(node, '/a', through('192.0.2.2'))).status).toBe(101)
    // What the client says of itself stands to the left, and counts for nothing.
    expect((await upgrade(node, '/a', through('192.0.2.9', '192.0.2.1'))).status).toBe(429)
    expect((await upgrade(node, '/a', through('192.0.2.1', '10.1.2.3'))).status).toBe(429)
  })

  it('have room again when one has ended', async () => {
    const node = await serveCalmly({ maxConnectionsPerAddress: 1, trustedProxies: [FIRST] })
    const { caller } = await upgrade(node, '/a', through('192.0.2.1'))
    caller.socket.destroy()
    await until(node, ({ subscribers }) => subscribers === 0)
    expect((await upgrade(node, '/a', through('192.0.2.1'))).status).toBe(101)
  })

  it('the connections of the proxy itself are not limited', async () => {
    const node = await serveCalmly({ maxConnectionsPerAddress: 1, trustedProxies: [FIRST] })
    await hold(node, 20)
    expect((await upgrade(node, '/a')).status).toBe(101)
    expect((await upgrade(node, '/a', through('unknown'))).status).toBe(101)
    expect((await ask(node, get('/a'))).status).toBe(404)
  })

  it('nobody else is believed', async () => {
    const node = await serveCalmly({ maxConnectionsPerAddress: 1, trustedProxies: [FIRST] })
    const options = { ...through('192.0.2.1'), from: SECOND }
    expect((await upgrade(node, '/a', options)).status).toBe(101)
    const other = { ...through('192.0.2.2'), from: SECOND }
    expect((await upgrade(node, '/a', other)).status).toBe(429)
  })

  it('only addresses and blocks can be trusted', () => {
    for (const entry of [
      'proxy.example',
      '',
      '10.0.0.0/33',
      '::/129',
      '1.2.3.4/8/8',
      '10.0.0.0/',
    ]) {
      expect(() => trustProxies([entry])).toThrow(
        `ooo: trusted proxy ${JSON.stringify(entry)} must be an address or a block such as 10.0.0.0/8`,
      )
    }
    try {
      createServer({ storage: new MemoryStorage(), trustedProxies: ['x'] })
      expect.unreachable()
    } catch (error) {
      expect(isStateError(error, 'invalid_option')).toBe(true)
    }
  })
})

describe('the address of a client', () => {
  const trust = trustProxies(['10.0.0.0/8', 'fd00::/8', '127.0.0.1'])

  it.each([
    ['192.0.2.1', undefined, '192.0.2.1'],
    ['192.0.2.1', '192.0.2.7', '192.0.2.1'],
    ['10.0.0.1', undefined, undefined],
    ['10.0.0.1', '', undefined],
    ['10.0.0.1', '192.0.2.7', '192.0.2.7'],
    ['10.0.0.1', '192.0.2.6,192.0.2.7', '192.0.2.7'],
    ['10.0.0.1', '192.0.2.7, 10.9.9.9 ,10.0.0.2', '192.0.2.7'],
    ['10.0.0.1', '10.0.0.3, 10.0.0.2', undefined],
    ['10.0.0.1', '192.0.2.7, nonsense', undefined],
    ['10.0.0.1', 'nonsense, 192.0.2.7', '192.0.2.7'],
    ['10.0.0.1', '192.0.2.7:4711', '192.0.2.7'],
    ['10.0.0.1', '[2001:db8::1]:4711', '2001:db8::1'],
    ['10.0.0.1', '[2001:db8::1]', '2001:db8::1'],
    ['10.0.0.1', '2001:db8::1', '2001:db8::1'],
    ['::ffff:10.0.0.1', '::ffff:192.0.2.7', '192.0.2.7'],
    ['fd12::1', '192.0.2.7', '192.0.2.7'],
  ])('%s that forwards for %s is %s', (peer, forwardedFor, address) => {
    expect(clientAddress(peer, forwardedFor, trust)).toBe(address)
  })

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:DB8:0:0:1::1', '2001:db8:0:0::/64'],
    ['2001:0db8:0000:0000:ffff:ffff:ffff:ffff', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
  ])('%s belongs to %s', (address, group) => {
    expect(addressGroup(address)).toBe(group)
  })
})
