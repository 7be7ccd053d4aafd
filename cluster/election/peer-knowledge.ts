/**
 * What other nodes know of the lease, for a node that can not reach it itself: whom to follow. It is
 * never taken for a grant, and never for a reason to take the lease.
 */
import type { Random } from '../../src/core/ports/time.ts'
import type { LeaderAnswer } from '../../src/server/contract/plugin.ts'
import type { LeaderCalls } from '../members/leader-call.ts'
import { leaderUrl } from '../members/placement.ts'
import { challenge, isProven } from '../members/proof.ts'
import { type Holder, type Lease, type LeaseView, NO_MARK } from './lease/lease.ts'

export interface PeerKnowledgeOptions {
  readonly lease: Lease
  readonly self: Holder
  /** URLs of other nodes. */
  readonly peers: () => Promise<readonly string[]>
  /** What the cluster shares: only who has it is believed. undefined: anybody who is asked. */
  readonly token: string | undefined
  readonly calls: Pick<LeaderCalls, 'callStranger'>
  readonly random: Random
}

/** Where every node tells who leads; see `leader-route.ts`. */
export const LEADER_PATH = '/-/leader'

/** Nodes asked at once. */
const MAX_ASKED = 3

/** The lease; when it gave no answer last time, other nodes are asked beside it. */
export function withPeerKnowledge(options: PeerKnowledgeOptions): Lease {
  const { lease } = options
  let isFailing = false
  let seen = 0
  const ask = async (question: () => Promise<LeaseView>, above: number): Promise<LeaseView> => {
    const wasFailing = isFailing
    // It is failing until it has answered: whoever asks may have stopped waiting before.
    isFailing = true
    const answer = question().then((view) => {
      isFailing = false
      seen = Math.max(seen, view.token)
      return view
    })
    if (!wasFailing) return answer
    const heard = newest(options, Math.max(seen, above))
    const orHeard = answer.catch(async (error: unknown) => {
      const view = await heard
      if (view === undefined) throw error
      return view
    })
    return Promise.race([orHeard, heard.then((view) => view ?? orHeard)])
  }
  const { kind, name, durationMs } = lease
  return {
    ...{ kind, name, durationMs },
    look: () => ask(() => lease.look(), 0),
    take: (above) => ask(() => lease.take(above), above),
    // One that is held has to be followed by a later one.
    renew: (token, mark) => ask(() => lease.renew(token, mark), token + 1),
    claim: (above) => lease.claim(above),
    release: (token) => lease.release(token),
    stands: (leads) => lease.stands?.(leads),
    podLabel: () => lease.podLabel?.(),
    close: () => lease.close(),
  }
}

/** The latest grant of `least` or a greater number that others know of; undefined: none does. */
async function newest(
  { lease, self, peers, token, calls, random }: PeerKnowledgeOptions,
  least: number,
): Promise<LeaseView | undefined> {
  const timeoutMs = lease.durationMs / 5
  const known = await peers().catch(() => [])
  const urls = known.filter((url) => isUrl(url) && url !== self.url)
  const asked = shuffled([...new Set(urls)], random).slice(0, MAX_ASKED)
  const ask = async (url: string): Promise<ReturnType<typeof grantIn>> => {
    // An address that is wrong, or that another program has by now, must learn no secret, nor say who leads.
    const headers = token === undefined ? {} : challenge(token)
    const request = { method: 'GET', target: LEADER_PATH, headers, timeoutMs }
    const answer = await calls.callStranger(url, request)
    return token === undefined || isProven(token, headers, answer) ? grantIn(answer) : undefined
  }
  const answers = await Promise.all(asked.map((url) => ask(url).catch(() => undefined)))
  const grants = answers.flatMap((grant) => grant ?? [])
  const fits = grants.filter(({ holder, token }) => token >= least && holder.id !== self.id)
  const [best] = fits.sort((a, b) => b.token - a.token)
  if (best === undefined) return undefined
  // What was passed on confirms for no longer than it did where it came from: else nodes could confirm each other.
  const confirmedForMs = Math.min(best.confirmedForMs, lease.durationMs)
  const { holder, token: grant } = best
  const view = { holder, token: grant, isMine: false, heldForMs: lease.durationMs }
  return { ...view, confirmedForMs, mark: NO_MARK }
}

interface PeerGrant {
  readonly holder: Holder
  readonly token: number
  /** How long the peer knows that the holder may decide; 0: it is the last one that it has heard of. */
  readonly confirmedForMs: number
}

function grantIn({ body }: LeaderAnswer): PeerGrant | undefined {
  let reported: Readonly<Record<string, unknown>>
  try {
    reported = fieldsOf(JSON.parse(new TextDecoder().decode(body)))
  } catch {
    return undefined
  }
  const { leader, validForMs } = reported
  const last = fieldsOf(reported.last)
  const { id, token } = leader === null ? last : reported
  const url = leader === null ? last.url : leader
  if (typeof url !== 'string' || typeof id !== 'string' || !isUrl(url)) return undefined
  if (typeof token !== 'number' || !Number.isSafeInteger(token)) return undefined
  const isConfirmed = leader !== null && typeof validForMs === 'number' && validForMs > 0
  return { holder: { id, url }, token, confirmedForMs: isConfirmed ? validForMs : 0 }
}

function isUrl(text: string): boolean {
  try {
    return leaderUrl(text) === text
  } catch {
    return false
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : {}
}
