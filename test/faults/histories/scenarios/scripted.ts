/** What scripted rounds share: single operations, recorded as those of one client. */
import { waitFor } from '../../../support/wait.ts'
import { type Operation, perform } from '../client.ts'
import type { OperationLine } from '../record.ts'
import type { Round } from '../round.ts'
import type { Member } from '../world.ts'

const PROCESS = 0
const SEEN_DEADLINE_MS = 30_000

/** One operation of the script, recorded. */
export function ask({ record }: Round, node: Member, operation: Operation): Promise<OperationLine> {
  return perform(record, PROCESS, node, operation)
}

/** A write that must be taken. */
export async function write(
  round: Round,
  node: Member,
  operation: Operation,
): Promise<OperationLine> {
  const line = await ask(round, node, operation)
  if (line.outcome === 'ok') return line
  throw new Error(`${operation.op} ${operation.key} at ${node.name}: ${line.status}`)
}

/** Reads until the node shows that value. */
export async function waitUntilSeen(
  round: Round,
  node: Member,
  key: string,
  value: string | null,
): Promise<void> {
  await waitFor(
    async () => {
      const { seen } = await ask(round, node, { op: 'read', key })
      return ((seen as { readonly id?: unknown } | null)?.id ?? null) === value
    },
    { deadlineMs: SEEN_DEADLINE_MS, intervalMs: 200, what: `${value} of ${key} at ${node.name}` },
  )
}
