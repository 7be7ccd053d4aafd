/** What a node tells of its cluster, as lines for people. Pure. */

/** This node's role and links, and what it refused; none for a node that is no member. */
export function clusterLines(report: unknown): string[] {
  const role = textOf(fieldOf(report, 'role'))
  if (role === undefined) return []
  const links = listOf(report, 'links').map((link) => {
    const state = textOf(fieldOf(link, 'state')) ?? 'unknown'
    const outbox = numberOf(fieldOf(link, 'outbox')) ?? 0
    const waiting = outbox === 0 ? '' : `, ${outbox} to deliver`
    return `follows ${textOf(fieldOf(link, 'url')) ?? '?'}: ${state}, ${lagText(link)}${waiting}`
  })
  const refused = numberOf(fieldOf(fieldOf(report, 'refusals'), 'total')) ?? 0
  const refusals = refused === 0 ? [] : [`${refused} refused: see ooo status`]
  return [`this node: ${role}`, ...links, ...refusals]
}

/** How a registered node stands, as its leader sees it; undefined where the leader does not tell. */
export function followerLine(report: unknown, id: string): string | undefined {
  if (textOf(fieldOf(report, 'role')) === undefined) return undefined
  const isIt = (row: unknown): boolean => fieldOf(row, 'id') === id
  const follower = listOf(report, 'followers').find(isIt)
  if (follower !== undefined) return lagText(follower)
  const member = listOf(report, 'registered').find(isIt)
  if (member === undefined) return undefined
  const sinceMs = numberOf(fieldOf(member, 'awaySinceMs'))
  const since = new Date(sinceMs ?? Number.NaN)
  if (Number.isNaN(since.getTime())) return 'away'
  return `away since ${since.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** `in step`, or how many changes behind and for how long. */
function lagText(row: unknown): string {
  const rows = numberOf(fieldOf(row, 'lagRows')) ?? 0
  const ms = numberOf(fieldOf(row, 'lagMs')) ?? 0
  if (rows === 0 && ms === 0) return 'in step'
  const time = ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`
  return rows === 0 ? `last heard ${time} ago` : `${rows} behind, ${time}`
}

function fieldOf(row: unknown, name: string): unknown {
  return typeof row === 'object' && row !== null
    ? (row as Readonly<Record<string, unknown>>)[name]
    : undefined
}

function listOf(row: unknown, name: string): readonly unknown[] {
  const list = fieldOf(row, name)
  return Array.isArray(list) ? list : []
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}
