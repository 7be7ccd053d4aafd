/** What every bus between nodes must do; see the promises in `src/fanout/bus.ts`. */
import { afterEach, describe, expect, test } from 'vitest'
import type { Bus, BusHandlers } from '../../src/fanout/bus.ts'
import { waitFor, waitForValue } from '../support/wait.ts'

const DEADLINE_MS = 20_000
const WAIT = { deadlineMs: DEADLINE_MS }

/** A medium that a suite can take away. */
export interface BusMedium {
  /** Another side of the same bus. */
  connect(): Bus
  /** Nothing gets through and every connection is broken, until `comeBack`. */
  goAway(): Promise<void>
  comeBack(): Promise<void>
}

/** Notes what a subscription tells. */
class Ear implements BusHandlers {
  readonly heard: string[] = []
  readonly states: ('up' | 'down')[] = []

  message(text: string): void {
    this.heard.push(this.isUp ? text : `${text} while down`)
  }

  up(): void {
    this.states.push('up')
  }

  down(): void {
    this.states.push('down')
  }

  get isUp(): boolean {
    return this.states.at(-1) === 'up'
  }
}

/** Declares the suite. `medium` is asked once per test, when the services of the file are there. */
export function describeBus(name: string, medium: () => BusMedium): void {
  const made: Bus[] = []
  let channels = 0

  afterEach(async () => {
    for (const bus of made.splice(0)) await bus.close()
    await medium().comeBack()
  })

  const connect = (): Bus => {
    const bus = medium().connect()
    made.push(bus)
    return bus
  }
  const newChannel = (): string => `ooo:test:${process.pid}:${Date.now()}:${++channels}`
  const listen = async (bus: Bus, channel: string): Promise<Ear & { stop: () => void }> => {
    const ear = new Ear()
    const stop = bus.subscribe(channel, ear)
    await waitFor(() => ear.isUp, { ...WAIT, what: 'the subscription' })
    return Object.assign(ear, { stop })
  }
  /** Publishes until the ear has heard it: a bus connects when it is first used. */
  const tell = async (bus: Bus, channel: string, text: string, ear: Ear): Promise<void> => {
    await waitFor(
      () => {
        if (!ear.heard.includes(text)) bus.publish(channel, text)
        return ear.heard.includes(text)
      },
      { ...WAIT, intervalMs: 20, what: `hearing ${text}` },
    )
  }

  describe(name, { timeout: 3 * DEADLINE_MS }, () => {
    test('brings a message to everyone on the channel, once, and to no one else', async () => {
      const [speaker, one, two] = [connect(), connect(), connect()]
      const [channel, other] = [newChannel(), newChannel()]
      const ears = [await listen(one, channel), await listen(two, channel)]
      const stranger = await listen(two, other)
      const [first] = ears
      if (first === undefined) throw new Error('nobody listens')
      await tell(speaker, channel, 'begin', first)
      expect(speaker.publish(channel, 'text "with" ünïcode \u{1f44b}\n')).toBe(true)
      await waitFor(() => ears.every((ear) => ear.heard.at(-1)?.includes('ünïcode')), WAIT)
      for (const ear of ears) {
        expect(ear.heard.filter((text) => text !== 'begin')).toEqual([
          'text "with" ünïcode \u{1f44b}\n',
        ])
      }
      expect(stranger.heard).toEqual([])
    })

    test('keeps the order of one publisher', async () => {
      const [speaker, listener] = [connect(), connect()]
      const channel = newChannel()
      const ear = await listen(listener, channel)
      await tell(speaker, channel, 'begin', ear)
      const texts = Array.from({ length: 500 }, (_, i) => `message ${i}`)
      for (const text of texts) expect(speaker.publish(channel, text)).toBe(true)
      await waitFor(() => ear.heard.at(-1) === texts.at(-1), WAIT)
      expect(ear.heard.filter((text) => text !== 'begin')).toEqual(texts)
    })

    test('carries a message of a megabyte whole', async () => {
      const [speaker, listener] = [connect(), connect()]
      const channel = newChannel()
      const ear = await listen(listener, channel)
      await tell(speaker, channel, 'begin', ear)
      const large = 'é'.repeat(512 * 1024)
      expect(speaker.publish(channel, large)).toBe(true)
      await waitFor(() => ear.heard.at(-1)?.length === large.length, WAIT)
      expect(ear.heard.at(-1) === large).toBe(true)
    })

    test('says nothing more to one that has stopped listening', async () => {
      const [speaker, listener] = [connect(), connect()]
      const channel = newChannel()
      const [left, stayed] = [await listen(listener, channel), await listen(listener, channel)]
      await tell(speaker, channel, 'begin', stayed)
      left.stop()
      left.stop()
      const before = left.heard.length
      await tell(speaker, channel, 'end', stayed)
      expect(left.heard.length).toBe(before)
      const again = await listen(listener, channel)
      await tell(speaker, channel, 'again', again)
    })

    test('tells that it is away, refuses messages then, and comes back by itself', async () => {
      const [speaker, listener] = [connect(), connect()]
      const channel = newChannel()
      const ear = await listen(listener, channel)
      await tell(speaker, channel, 'begin', ear)
      await medium().goAway()
      await waitForValue(() => ear.states, ['up', 'down'], WAIT)
      await waitFor(() => !speaker.publish(channel, 'into the void'), WAIT)
      expect(listener.status().subscribing.state).toBe('down')
      expect(speaker.status().publishing).toMatchObject({ state: 'down' })
      expect(speaker.status().dropped).toBeGreaterThan(0)
      const late = new Ear()
      listener.subscribe(channel, late)
      await medium().comeBack()
      await waitForValue(() => ear.states, ['up', 'down', 'up'], WAIT)
      await waitFor(() => late.isUp, WAIT)
      await tell(speaker, channel, 'back', ear)
      await tell(speaker, channel, 'back again', late)
      expect(ear.heard.filter((text) => text.includes('while down'))).toEqual([])
    })

    test('counts what it carries, and shows when it is not used', async () => {
      const [speaker, listener] = [connect(), connect()]
      expect(speaker.status().publishing.state).toBe('idle')
      expect(listener.status().subscribing.state).toBe('idle')
      const channel = newChannel()
      const ear = await listen(listener, channel)
      await tell(speaker, channel, 'begin', ear)
      await waitFor(() => speaker.status().published >= 1, WAIT)
      expect(speaker.status().publishing.state).toBe('up')
      expect(listener.status()).toMatchObject({ received: ear.heard.length })
      expect(listener.status().subscribing.state).toBe('up')
    })

    test('is closed twice, and takes and brings nothing any more', async () => {
      const [speaker, listener, other] = [connect(), connect(), connect()]
      const channel = newChannel()
      const ear = await listen(listener, channel)
      const witness = await listen(other, channel)
      await tell(speaker, channel, 'begin', ear)
      await Promise.all([listener.close(), listener.close()])
      const before = ear.heard.length
      await tell(speaker, channel, 'end', witness)
      expect(ear.heard.length).toBe(before)
      await speaker.close()
      expect(speaker.publish(channel, 'too late')).toBe(false)
    })
  })
}
