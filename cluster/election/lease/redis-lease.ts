/**
 * A lease in Redis or Valkey: one key that expires and says who holds it, one that never does and
 * counts the grants, and one for what leaders leave to the next. All carry the name in braces, so that a
 * Redis Cluster keeps them together.
 *
 * | key                         | value                                         |
 * |-----------------------------|-----------------------------------------------|
 * | `ooo:{<name>}:lease`        | `<token> <session> <id> <url>`; expires       |
 * | `ooo:{<name>}:lease-token`  | the greatest token of any grant               |
 * | `ooo:{<name>}:lease-mark`   | `<ceiling> <voters>`, the ceiling of 20 digits |
 *
 * Every question is one script, so it is decided in one step. Redis may lose all keys: flushed, started
 * again without a disk, or failed over to a replica that had not got them. Then `renew` restores what the
 * holder knows, and `take` refuses until somebody is sure enough to `claim`.
 */
import type { Candidate, Lease, LeaseMark, LeaseView } from './lease.ts'

/** What the lease needs of a client of Redis. */
export interface RedisScripts {
  /** Runs a script on the server; rejects when it is out of reach, soon. */
  run(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown>
  close(): void
}

export interface RedisLeaseOptions {
  readonly scripts: RedisScripts
  /** Of the lease; one per cluster of nodes. */
  readonly name: string
  readonly durationMs: number
  readonly self: Candidate
}

/** Answers `{value, token, milliseconds left, mark}`; of a free lease the value is empty. */
const PRELUDE = `
local value = redis.call('GET', KEYS[1]) or ''
local count = tonumber(redis.call('GET', KEYS[2]) or '0')
local token, session, id = string.match(value, '^(%d+) (%S+) (%S+) ')
token = math.max(tonumber(token or '0'), value == '' and count or 0)
local function tell()
  local mark = redis.call('GET', KEYS[3]) or ''
  return {value, string.format('%.0f', token), math.max(redis.call('PTTL', KEYS[1]), 0), mark}
end
local function grant(n, identity, ms)
  value, token = string.format('%.0f', n) .. ' ' .. identity, n
  if count < n then redis.call('SET', KEYS[2], string.format('%.0f', n)) end
  redis.call('SET', KEYS[1], value, 'PX', ms)
  return tell()
end
`

const LOOK = `${PRELUDE}return tell()`

/** Arguments: identity, milliseconds, session, id, above, `claim` or empty. */
const TAKE = `${PRELUDE}
local above = tonumber(ARGV[5])
if value ~= '' and session == ARGV[3] and token >= above then return grant(token, ARGV[1], ARGV[2]) end
local open = value == '' or id == ARGV[4]
if token < above then open = ARGV[6] == 'claim' end
if not open then return tell() end
return grant(math.max(above, token, count) + 1, ARGV[1], ARGV[2])`

/**
 * Arguments: identity, milliseconds, token, ceiling, voters. Ceilings are compared as texts of one length:
 * Lua would round them.
 */
const RENEW = `${PRELUDE}
local mine = tonumber(ARGV[3])
local held = value == ARGV[3] .. ' ' .. ARGV[1]
local lost = token < mine or (value == '' and token == mine)
if not (held or lost) then return tell() end
local ceiling, voters = string.match(redis.call('GET', KEYS[3]) or '', '^(%d+) (.*)$')
if not ceiling or ceiling < ARGV[4] then ceiling = ARGV[4] end
if ARGV[5] ~= '' then voters = ARGV[5] end
redis.call('SET', KEYS[3], ceiling .. ' ' .. (voters or ''))
return grant(mine, ARGV[1], ARGV[2])`

/** Arguments: identity, token. */
const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[2] .. ' ' .. ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

export function redisLease({ scripts, name, durationMs, self }: RedisLeaseOptions): Lease {
  const keys = ['lease', 'lease-token', 'lease-mark'].map((key) => `ooo:{${name}}:${key}`)
  const identity = `${self.session} ${self.id} ${self.url}`
  const ask = async (script: string, args: readonly string[]): Promise<LeaseView> =>
    viewOf(await scripts.run(script, keys, args), self)
  const take = (above: number, how: 'claim' | ''): Promise<LeaseView> =>
    ask(TAKE, [identity, String(durationMs), self.session, self.id, String(above), how])
  return {
    kind: 'redis',
    name,
    durationMs,
    look: () => ask(LOOK, []),
    take: (above) => take(above, ''),
    claim: (above) => take(above, 'claim'),
    renew: (token, { ceiling, voters }) => {
      const digits = String(ceiling).padStart(CEILING_DIGITS, '0')
      return ask(RENEW, [identity, String(durationMs), String(token), digits, voters])
    },
    release: async (token) => {
      await scripts.run(RELEASE, keys, [identity, String(token)])
    },
    close: async () => scripts.close(),
  }
}

function viewOf(answer: unknown, self: Candidate): LeaseView {
  const [value, token, leftMs, mark] = Array.isArray(answer) ? (answer as unknown[]) : []
  const isWhole = typeof value === 'string' && /^\d{1,15}$/.test(String(token)) && isCount(leftMs)
  const [, session, id, url] = String(value).match(/^\d+ (\S+) (\S+) (\S+)$/) ?? []
  const holder = id === undefined || url === undefined ? undefined : { id, url }
  if (!isWhole || (value !== '' && holder === undefined)) {
    throw new Error(`${JSON.stringify(answer)?.slice(0, 200)} is not the answer of a lease`)
  }
  return {
    holder,
    token: Number(token),
    isMine: session === self.session,
    heldForMs: holder === undefined ? 0 : leftMs,
    mark: markOf(mark),
  }
}

/** Digits of a ceiling, with zeros in front. */
const CEILING_DIGITS = 20

function markOf(text: unknown): LeaseMark {
  const [, ceiling, voters = ''] = String(text ?? '').match(/^(\d{1,20}) (.*)$/s) ?? []
  return { ceiling: BigInt(ceiling ?? 0), voters }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0
}
