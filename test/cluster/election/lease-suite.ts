/** What every lease must do, whatever keeps it. Run on each implementation. */
import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type Candidate,
  type Lease,
  type LeaseView,
  NO_MARK,
} from '../../../cluster/election/lease/lease.ts'
import { waitFor } from '../../support/wait.ts'

/** One lease, as its candidates see it. */
export interface LeaseUnderTest {
  candidate(self: Candidate): Lease
  /** It forgets everything; undefined where that can not be done. */
  forget: (() => Promise<void>) | undefined
  readonly durationMs: number
  /** Lets time pass until a holder who does nothing has lost it, as these candidates see it. */
  lapse(candidates: readonly Lease[]): Promise<void>
}

export function describeLease(
  name: string,
  make: (leaseName: string, durationMs: number) => Promise<LeaseUnderTest>,
): void {
  const opened: Lease[] = []
  let session = 0

  afterEach(async () => {
    for (const lease of opened.splice(0)) await lease.close()
  })

  const open = async (durationMs = 60_000): Promise<LeaseUnderTest & { a: Lease; b: Lease }> => {
    const under = await make(`test-${randomUUID()}`, durationMs)
    const candidate = (self: Candidate): Lease => {
      const lease = under.candidate(self)
      opened.push(lease)
      return lease
    }
    const { forget, lapse } = under
    return { durationMs, forget, lapse, candidate, a: candidate(as('a')), b: candidate(as('b')) }
  }
  const as = (id: string): Candidate => ({
    id,
    url: `http://${id}:1`,
    session: `s${++session}-${randomUUID()}`,
  })

  describe(`a lease in ${name}`, () => {
    it('that nobody ever held is free', async () => {
      const { a } = await open()
      expect(await a.look()).toEqual({
        ...{ holder: undefined, token: 0, isMine: false, heldForMs: 0 },
        mark: NO_MARK,
      })
    })

    it('is given to one of those who ask', async () => {
      const { a, b, durationMs } = await open()
      expect(await a.take(0)).toMatchObject({ token: 1, isMine: true, holder: { id: 'a' } })
      const seen = await b.take(0)
      expect(seen).toMatchObject({ token: 1, isMine: false })
      expect(seen.holder).toEqual({ id: 'a', url: 'http://a:1' })
      expect(seen.heldForMs).toBeGreaterThan(durationMs / 2)
      expect(seen.heldForMs).toBeLessThanOrEqual(durationMs)
      expect(await a.renew(1, NO_MARK)).toMatchObject({ token: 1, isMine: true })
      expect(await a.take(0)).toMatchObject({ token: 1, isMine: true })
    })

    it('is given to one only when many ask at once', async () => {
      const { candidate } = await open()
      const many = Array.from({ length: 10 }, (_, i) => candidate(as(`n${i}`)))
      const views: LeaseView[] = await Promise.all(many.map((lease) => lease.take(0)))
      expect(views.filter(({ isMine }) => isMine)).toHaveLength(1)
      const after = await Promise.all(many.map((lease) => lease.look()))
      expect(new Set(after.map(({ holder }) => holder?.id)).size).toBe(1)
      expect(after.filter(({ isMine }) => isMine)).toHaveLength(1)
    })

    it('is renewed by its holder only, with the number of the grant', async () => {
      const { a, b } = await open()
      await a.take(0)
      expect(await b.renew(1, NO_MARK)).toMatchObject({ isMine: false, holder: { id: 'a' } })
      expect(await a.renew(1, NO_MARK)).toMatchObject({ isMine: true })
    })

    it('given up is free at once, and the next grant has a greater number', async () => {
      const { a, b } = await open()
      await a.take(0)
      await b.release(1)
      expect(await b.take(1)).toMatchObject({ isMine: false })
      await a.release(1)
      expect(await b.look()).toMatchObject({ holder: undefined, token: 1, heldForMs: 0 })
      expect(await b.take(1)).toMatchObject({ token: 2, isMine: true })
      await a.release(1)
      expect(await a.look()).toMatchObject({ holder: { id: 'b' }, token: 2 })
      expect(await a.renew(1, NO_MARK)).toMatchObject({ isMine: false, token: 2 })
    })

    it('that was not renewed in time is taken by another', async () => {
      const { a, b, lapse } = await open(300)
      await a.take(0)
      await b.look()
      await lapse([b])
      const taken = await waitFor(async () => {
        const view = await b.take(1)
        return view.isMine && view
      })
      expect(taken).toMatchObject({ token: 2, holder: { id: 'b' } })
      expect(await a.look()).toMatchObject({ isMine: false, token: 2 })
    })

    it('that has lapsed and was not taken is still renewed, with the same number', async () => {
      const { a, b, lapse } = await open(300)
      await a.take(0)
      await b.look()
      await lapse([b])
      expect(await a.renew(1, NO_MARK)).toMatchObject({ isMine: true, token: 1 })
    })

    it('of an earlier life of a node is taken by the next one', async () => {
      const { a, candidate } = await open()
      await a.take(0)
      const again = candidate(as('a'))
      expect(await again.look()).toMatchObject({ holder: { id: 'a' }, isMine: false })
      expect(await again.take(1)).toMatchObject({ token: 2, isMine: true })
      expect(await a.renew(1, NO_MARK)).toMatchObject({ isMine: false })
    })

    it('keeps the greatest ceiling and the latest voters of its holders for the next', async () => {
      const { a, b, durationMs } = await open()
      expect(durationMs).toBeGreaterThan(0)
      await a.take(0)
      // Beyond what a double tells apart, and shorter than stamps are.
      const ceiling = 1_767_225_600_000_000_001n
      const first = { ceiling, voters: '{"voters":["a","b"]}' }
      expect((await a.renew(1, first)).mark).toEqual(first)
      expect((await b.look()).mark).toEqual(first)
      const none = await a.renew(1, { ceiling: 99n, voters: '' })
      expect(none.mark).toEqual(first)
      const more = { ceiling: ceiling + 1n, voters: '{"voters":["a"]}' }
      expect((await a.renew(1, more)).mark).toEqual(more)
      // Who does not hold it leaves nothing.
      await b.renew(1, { ceiling: ceiling + 9n, voters: 'x' })
      await a.release(1)
      expect((await b.take(1)).mark).toEqual(more)
      await a.renew(1, { ceiling: ceiling + 9n, voters: 'x' })
      expect((await b.look()).mark).toEqual(more)
    })

    it('that forgot everything is restored by its holder', async ({ skip }) => {
      const { a, b, forget } = await open()
      if (forget === undefined) return skip('it does not forget')
      expect(await a.take(6)).toMatchObject({ isMine: false, token: 0 })
      expect(await a.claim(6)).toMatchObject({ token: 7, isMine: true })
      await forget()
      expect(await b.take(7)).toMatchObject({ isMine: false, token: 0, holder: undefined })
      expect(await a.renew(7, NO_MARK)).toMatchObject({ isMine: true, token: 7 })
      expect(await b.claim(7)).toMatchObject({ isMine: false, token: 7, holder: { id: 'a' } })
    })

    it('that forgot everything and was given away is claimed with a greater number than before', async ({
      skip,
    }) => {
      const { a, b, forget, candidate } = await open()
      if (forget === undefined) return skip('it does not forget')
      await a.claim(6)
      await forget()
      const fresh = candidate(as('c'))
      expect(await fresh.take(0)).toMatchObject({ token: 1, isMine: true })
      expect(await b.take(7)).toMatchObject({ isMine: false, token: 1 })
      expect(await b.claim(7)).toMatchObject({ token: 8, isMine: true })
      expect(await fresh.renew(1, NO_MARK)).toMatchObject({ isMine: false, token: 8 })
    })
  })
}
