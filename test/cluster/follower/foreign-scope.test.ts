import { expect, it } from 'vitest'
import type { Logger } from '../../../src/core/ports/logger.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import { waitFor } from '../../support/wait.ts'
import { startNode } from '../nodes.ts'

function keepingWarnings(warnings: string[]): Logger {
  return {
    ...SILENT_LOGGER,
    warn: (message, fields) => warnings.push(`${message} ${JSON.stringify(fields)}`),
  }
}

it('a scope that the leader does not have is told on both sides, and writes of it stay', async () => {
  const warnings = { leader: [] as string[], follower: [] as string[] }
  const leader = await startNode({ logger: keepingWarnings(warnings.leader) })
  const follower = await startNode({
    leader,
    keys: [{ path: 'items/*' }, { path: 'orders/*' }],
    logger: keepingWarnings(warnings.follower),
  })
  await follower.live()
  await waitFor(() => warnings.leader.some((line) => line.includes('orders/*')))
  await follower.server.store.set('orders/1', '1')
  await waitFor(() => warnings.follower.some((line) => line.includes('orders/1')))
  const [link] = follower.plugin.status()?.links ?? []
  expect(link).toMatchObject({ state: 'live', outbox: 1, refused: 1 })
  expect(link?.lastError).toContain('does not replicate')
  const { body } = await follower.request('GET', '/-/readyz')
  expect(body).toContain(`1 change is not replicated by ${leader.url}`)
})
