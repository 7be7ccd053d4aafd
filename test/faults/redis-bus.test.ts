/** What happens to replication when Redis is killed, frozen, emptied, or cut off, under load. */
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { BusTrio } from '../support/bus-trio.ts'
import { type RunningService, useRedis } from '../support/services.ts'
import { ServiceLink } from '../support/services-link.ts'
import { waitFor } from '../support/wait.ts'

const TIMEOUT = { timeout: 180_000 }
const WAIT = { deadlineMs: 30_000 }

const closers: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function connect(url: string): Redis {
  const redis = new Redis(url, { lazyConnect: true })
  redis.on('error', () => undefined)
  closers.push(async () => redis.disconnect())
  return redis
}

async function linkTo(url: string): Promise<ServiceLink> {
  const link = await ServiceLink.to(url)
  closers.push(() => link.close())
  return link
}

describe('a Redis of its own', () => {
  const redis = useRedis({ control: true })
  const control = (): NonNullable<RunningService['control']> => {
    const found = redis().control
    if (found === undefined) throw new Error('the server is not the test’s own')
    return found
  }

  test('that is killed and started again, twice, costs nothing but the bus', TIMEOUT, async () => {
    const { url } = redis()
    const trio = await BusTrio.start([url, url, url])
    await trio.onBus()
    for (let round = 0; round < 2; round++) {
      await trio.writes(100)
      await control().kill()
      await trio.onStream()
      await trio.writes(100)
      await control().start()
      await trio.onBus()
    }
    await trio.writes(100)
    await trio.finish()
    expect(trio.leader.plugin.status()?.bus).toMatchObject({
      kind: 'redis',
      publishing: { state: 'up' },
    })
  })

  test('that hangs is left, and taken again when it goes on', TIMEOUT, async () => {
    const { url } = redis()
    const trio = await BusTrio.start([url, url, url])
    await trio.onBus()
    await trio.writes(100)
    const goOn = await freeze(redis())
    closers.push(goOn)
    await trio.onStream()
    await trio.writes(100)
    await goOn()
    await trio.onBus()
    await trio.writes(100)
    await trio.finish()
  })
})

describe('a Redis that others use too', () => {
  const redis = useRedis()

  test(
    'that is emptied, and whose subscribers are thrown out again and again',
    TIMEOUT,
    async () => {
      const { url } = redis()
      const trio = await BusTrio.start([url, url, url])
      const administrator = connect(url)
      await trio.onBus()
      for (let round = 0; round < 5; round++) {
        await trio.writes(60)
        await administrator.flushall()
        await killSubscribers(administrator)
        await trio.onBus()
      }
      await trio.finish()
    },
  )

  test('out of reach for a follower, for the other, for the leader', TIMEOUT, async () => {
    const links = [await linkTo(redis().url), await linkTo(redis().url), await linkTo(redis().url)]
    const [first, second, third] = links
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('no link')
    const trio = await BusTrio.start([first.url, second.url, third.url])
    await trio.onBus()
    for (const link of links) {
      await trio.writes(50)
      link.refuse()
      const isLeft = (): boolean => trio.feeds.includes('stream')
      await waitFor(isLeft, { ...WAIT, what: 'someone to leave the bus' })
      await trio.writes(50)
      link.heal()
      await trio.onBus()
    }
    // Nothing is broken off here, and nothing comes: only silence tells.
    second.swallow()
    await waitFor(() => trio.feeds[0] === 'stream', { ...WAIT, what: 'the deaf one to leave' })
    await trio.writes(50)
    second.heal()
    second.cut()
    await trio.onBus()
    await trio.finish()
  })

  test('with messages of strangers on the leader’s channel', TIMEOUT, async () => {
    const { url } = redis()
    const trio = await BusTrio.start([url, url, url])
    await trio.onBus()
    const stranger = connect(url)
    const { store } = trio.leader.server
    const channel = `ooo:${store.id}:${store.epoch}`
    const heard = connect(url)
    let recorded = ''
    heard.on('message', (_, text: string) => {
      recorded = text
    })
    await heard.subscribe(channel)
    await trio.writes(50)
    await waitFor(() => recorded !== '', WAIT)
    for (let i = 0; i < 20; i++) {
      // What was said before, what was said and changed, and what never was.
      await stranger.publish(channel, recorded)
      await stranger.publish(channel, recorded.replace(/\d/, '7'))
      const { epoch, head } = store
      const forged = {
        epoch,
        from: head,
        to: head + 1,
        records: [['items/evil', 'x', '1', '0', '1']],
      }
      await stranger.publish(channel, 'x'.repeat(43) + JSON.stringify(forged))
      await trio.writes(5)
    }
    const refused = (): number[] =>
      trio.followers.map(({ plugin }) => plugin.status()?.links[0]?.feed.bus.refused ?? 0)
    await waitFor(() => refused().every((count) => count >= 20), WAIT)
    await trio.onBus()
    await trio.finish()
  })
})

async function killSubscribers(redis: Redis): Promise<void> {
  const list = String(await redis.client('LIST', 'TYPE', 'PUBSUB'))
  const ours = list.split('\n').filter((line) => / name=ooo /.test(line))
  for (const line of ours) {
    const id = /^id=(\d+)/.exec(line)?.[1]
    if (id !== undefined) await redis.client('KILL', 'ID', id)
  }
}

/** Stops the server in its tracks; the result lets it go on. */
async function freeze({ url, form }: RunningService): Promise<() => Promise<void>> {
  const redis = connect(url)
  if (form !== 'program') {
    // A container's process is not ours to stop; commands of all clients wait instead.
    await redis.client('PAUSE', 8000, 'ALL')
    return async () => undefined
  }
  const pid = Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1])
  process.kill(pid, 'SIGSTOP')
  return async () => {
    process.kill(pid, 'SIGCONT')
  }
}
