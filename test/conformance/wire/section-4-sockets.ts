/** Sections 4.2 and 4.8–4.10: pings, what clients send, full states only, the tick of the clock. */
import { once } from 'node:events'
import { waitFor } from '../../support/wait.ts'
import { ensure, equal } from './assert.ts'
import { section, type WireCase } from './case.ts'
import { sameAsRead } from './same-as-read.ts'

/** Twice what a careful server might take at most. */
const LARGE_FRAME_BYTES = 128 * 1024

export const socketCases: readonly WireCase[] = [
  ...section('4.2', {
    "a client's ping is answered with its payload": async (target) => {
      const probe = await target.subscribe(target.at('a'))
      const pong = once(probe.socket, 'pong')
      probe.socket.ping('payload')
      equal(String((await pong)[0]), 'payload', 'payload of the pong')
    },
    "a client's close is answered with its code": async (target) => {
      const probe = await target.subscribe(target.at('a'))
      probe.socket.close(1000)
      const closed = await waitFor(() => probe.closed, { what: 'the close' })
      equal(closed.code, 1000, 'close code')
    },
  }),
  ...section(
    '4.2',
    {
      'a frame of any size is discarded': async (target) => {
        const probe = await target.subscribe(target.at('a'))
        probe.socket.send(Buffer.alloc(LARGE_FRAME_BYTES))
        await target.store(target.at('a'), '1')
        // Both may have happened: the write's frame was on its way when the large one arrived.
        const pong = once(probe.socket, 'pong').then(() => 'pong')
        probe.socket.ping()
        const end = waitFor(() => probe.closed, { what: 'the close' }).catch(() => undefined)
        equal(await Promise.race([pong, end]), 'pong', 'what follows the frame')
      },
    },
    { tag: 'Q' },
  ),
  ...section(
    '4.2',
    {
      'pings are empty and come again': async (target) => {
        const own = await target.own({ pingIntervalMs: 30 })
        for (const path of ['/a', '/*', '/']) {
          const payloads: string[] = []
          const probe = await own.socket(path)
          probe.socket.on('ping', (payload: Buffer) => payloads.push(String(payload)))
          await waitFor(() => payloads.length >= 2, { what: `two pings at ${path}` })
          equal(payloads.slice(0, 2), ['', ''], 'payloads')
        }
      },
      'pongs keep a connection, silence ends it': async (target) => {
        const own = await target.own({ pingIntervalMs: 50, pongTimeoutMs: 400 })
        let pings = 0
        const kept = await own.subscribe('/a')
        kept.socket.on('ping', () => pings++)
        const silent = await own.socket('/a', [], { autoPong: false })
        await waitFor(() => silent.closed, { what: 'the end of the silent one' })
        const before = pings
        await waitFor(() => pings > before + 9, { what: 'more pings than the timeout allows' })
        equal(kept.closed, undefined, 'close of the one that answers')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '4.8',
    {
      'without patches every frame is a whole state': async (target) => {
        const own = await target.own({ noPatch: true })
        const probes = [await own.subscribe(own.at('a')), await own.subscribe(own.at('*'))]
        const long = 'long '.repeat(100)
        await own.store(own.at('a'), JSON.stringify({ long, n: 1 }))
        await own.store(own.at('a'), JSON.stringify({ long, n: 2 }))
        for (const [i, name] of ['a', '*'].entries()) {
          const probe = probes[i]
          if (probe === undefined) continue
          for (const frame of [0, 1, 2]) {
            equal((await probe.envelope(frame)).snapshot, true, `frame ${frame} of ${name}`)
          }
          await sameAsRead(own, probe, name)
        }
        await own.request('DELETE', own.at('a'))
        for (const probe of probes) equal((await probe.envelope(3)).snapshot, true, 'the delete')
      },
      'forced patches are reported and change no frame': async (target) => {
        const own = await target.own({ forcePatch: true })
        const probe = await own.subscribe(own.at('a'))
        await own.store(own.at('a'), JSON.stringify({ long: 'long '.repeat(100), n: 1 }))
        await own.store(own.at('a'), JSON.stringify({ long: 'long '.repeat(100), n: 2 }))
        equal((await probe.envelope(1)).snapshot, true, 'the first state')
        equal((await probe.envelope(2)).snapshot, false, 'the change')
        const { body } = await own.get('/?api=info')
        ensure(body.includes('"forcePatch":true,"noPatch":false'), 'reported')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '4.9',
    {
      'the clock ticks as told': async (target) => {
        const own = await target.own({ tickMs: 20 })
        const probe = await own.subscribe('/')
        await probe.frame(5)
        const stamps = probe.frames.map(({ text }) => BigInt(text))
        const times = stamps.slice(0, 6)
        ensure(
          times.every((time, i) => i === 0 || time > (times[i - 1] ?? 0n)),
          'time goes forward',
        )
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '4.10',
    {
      'the tick is a second by default': async (target) => {
        const own = await target.own()
        const { body } = await own.get('/?api=info')
        equal((JSON.parse(body) as { tick: number }).tick, 1_000_000_000, 'tick in ns')
        const probe = await own.subscribe('/')
        await probe.frame(2)
        const [, second, third] = probe.frames.map(({ text }) => Number(BigInt(text) / 1_000_000n))
        const between = (third ?? 0) - (second ?? 0)
        ensure(between > 800 && between < 2000, `${between} ms between two frames`)
      },
    },
    { needs: 'own' },
  ),
]
