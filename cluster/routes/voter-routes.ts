/**
 * The voters over HTTP. Changes are for the nodes themselves and who has their credential; any node takes
 * them, and passes them on to the leader.
 *
 * - `GET /-/voters`: the VotersReport of the leader, or what this node knows where the leader is out of reach.
 * - `POST /-/voters` with `{"add":"<name>"}`, `{"remove":"<name>"}` or
 *   `{"found":["<name>",…],"giveUp":["<name>",…]}`: answers the report once it is done, with a `note` when there was
 *   nothing to do. A node that is added is waited for until it is connected, unless `"absent":true` is given.
 *   `found` begins again, for when a majority of the voters' disks is lost; `giveUp` names the voters that are not
 *   in it any more.
 */
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { isStateError, StateError } from '../../src/core/errors.ts'
import { retryHeaders } from '../../src/core/retry-hint.ts'
import { undecidedWithoutLeader } from '../../src/core/unknown-leader.ts'
import { isVoterName, MAX_VOTERS, VOTER_NAME_RULE } from '../../src/core/voter-list.ts'
import type { Replication, Reply } from '../../src/server/contract/plugin.ts'
import type { Ballot } from '../election/voters/ballot.ts'
import type { VotersReport } from '../election/voters/report.ts'
import type { NodeRole } from '../node/role.ts'

export const VOTERS_PATH = '/-/voters'

/** Header of a request that was passed on: it is not passed on again. */
const PASSED_HEADER = 'ooo-voters-passed'
/** Longer than a change may take at the leader, milliseconds. */
const TIMEOUT_MS = 35_000
const RETRY_MS = 1000
const MAX_BODY_BYTES = 16_384

export interface VoterRoutes {
  readonly nodeRole: Pick<NodeRole, 'ballot' | 'voters' | 'lease'>
  readonly calls: Pick<Replication, 'call'>
}

type Change =
  | { readonly how: 'add' | 'remove'; readonly name: string; readonly mayBeAbsent: boolean }
  | {
      readonly how: 'found'
      readonly names: readonly string[]
      readonly giveUp: readonly string[] | undefined
    }

/** @throws StateError `not_found` where nobody votes. */
export async function readVoters(routes: VoterRoutes, request: IncomingMessage): Promise<Reply> {
  const { ballot } = routes.nodeRole
  const known = knownVoters(routes)
  const answered = ballot === undefined ? await askLeader(routes, request) : undefined
  return reply(200, JSON.stringify(answered ?? known))
}

/** @throws StateError `not_found`, `invalid_message`, `too_large`, `undecided`, … */
export async function changeVoters(routes: VoterRoutes, request: IncomingMessage): Promise<Reply> {
  knownVoters(routes)
  const body = await bodyOf(request)
  const change = parseChange(body)
  const { ballot } = routes.nodeRole
  return ballot === undefined ? passOn(routes, request, body) : make(ballot, change)
}

function knownVoters({ nodeRole }: VoterRoutes): VotersReport {
  const voters = nodeRole.voters()
  if (voters !== undefined) return voters
  throw new StateError('not_found', 'voters: there are none where the leader is configured')
}

async function make(ballot: Ballot, change: Change): Promise<Reply> {
  try {
    const note = change.how === 'found' ? await begin(ballot, change) : await alter(ballot, change)
    return reply(200, JSON.stringify({ ...ballot.report(), ...note }))
  } catch (error) {
    if (!isStateError(error, 'undecided')) throw error
    return reply(503, error.clientText, { 'Content-Type': 'text/plain', ...retryHeaders(RETRY_MS) })
  }
}

async function begin(
  ballot: Ballot,
  { names, giveUp }: Extract<Change, { how: 'found' }>,
): Promise<object> {
  await ballot.found(names, giveUp)
  return {}
}

/** @returns a note when there was nothing to do. */
async function alter(
  ballot: Ballot,
  { how, name, mayBeAbsent }: Exclude<Change, { how: 'found' }>,
): Promise<{ readonly note?: string }> {
  const before = ballot.list
  const list = await ballot.change(how, name, { mayBeAbsent })
  if (list !== before) return {}
  return { note: how === 'add' ? `"${name}" is a voter already` : `"${name}" is no voter` }
}

/** What the leader says; undefined when it is not asked, or says nothing. */
async function askLeader(
  { nodeRole, calls }: VoterRoutes,
  request: IncomingMessage,
): Promise<VotersReport | undefined> {
  const leader = nodeRole.lease()?.holder?.url
  if (leader === undefined || request.headers[PASSED_HEADER] !== undefined) return undefined
  try {
    const answer = await calls.call(leader, {
      ...{ method: 'GET', target: VOTERS_PATH, timeoutMs: RETRY_MS },
      headers: { [PASSED_HEADER]: '1' },
    })
    if (answer.status !== 200) return undefined
    return JSON.parse(new TextDecoder().decode(answer.body)) as VotersReport
  } catch {
    // What this node has stored is told instead.
    return undefined
  }
}

async function passOn(
  { nodeRole, calls }: VoterRoutes,
  request: IncomingMessage,
  body: string,
): Promise<Reply> {
  const leader = nodeRole.lease()?.holder?.url
  if (leader === undefined || request.headers[PASSED_HEADER] !== undefined) {
    throw undecidedWithoutLeader('voters: nothing is changed now')
  }
  const answer = await calls.call(leader, {
    ...{ method: 'POST', target: VOTERS_PATH, body, timeoutMs: TIMEOUT_MS },
    headers: { [PASSED_HEADER]: '1', 'content-type': 'application/json' },
  })
  const { 'content-type': type = 'text/plain', 'retry-after': after } = answer.headers
  const headers = { 'Content-Type': type, ...(after === undefined ? {} : { 'Retry-After': after }) }
  return reply(answer.status, answer.body, headers)
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const length = Number(request.headers['content-length'] ?? Number.NaN)
  if (length <= MAX_BODY_BYTES) return text(request)
  throw new StateError('too_large', `voters: give a body of at most ${MAX_BODY_BYTES} bytes`)
}

function parseChange(body: string): Change {
  const invalid = (reason: string): StateError =>
    new StateError('invalid_message', `voters: ${reason}`)
  let fields: Readonly<Record<string, unknown>>
  try {
    fields = Object(JSON.parse(body)) as Readonly<Record<string, unknown>>
  } catch (cause) {
    throw new StateError('invalid_message', 'voters: the body is not JSON', { cause })
  }
  const { add, remove, found, giveUp, absent, ...more } = fields
  const asked = [add, remove, found].filter((value) => value !== undefined)
  if (asked.length !== 1 || Object.keys(more).length > 0) {
    throw invalid('give one of "add", "remove" and "found", beside it "absent" or "giveUp"')
  }
  if (found === undefined) {
    const how = add === undefined ? 'remove' : 'add'
    return { how, name: nameOf(add ?? remove), mayBeAbsent: absent === true }
  }
  if (!Array.isArray(found) || found.length === 0 || found.length > MAX_VOTERS) {
    throw invalid(`"found" must be a list of 1 to ${MAX_VOTERS} names`)
  }
  if (giveUp !== undefined && !Array.isArray(giveUp))
    throw invalid('"giveUp" must be a list of names')
  const names = [...new Set(found.map(nameOf))]
  return { how: 'found', names, giveUp: giveUp?.map(nameOf) }

  function nameOf(value: unknown): string {
    if (typeof value === 'string' && isVoterName(value)) return value
    throw invalid(`${JSON.stringify(value) ?? 'nothing'} is no name: ${VOTER_NAME_RULE}`)
  }
}

function reply(
  status: number,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = { 'Content-Type': 'application/json' },
): Reply {
  return { status, headers: { 'Cache-Control': 'no-store', ...headers }, body }
}
