/** How a node reaches its leader: which authorities it trusts, and which proxies are on the way. */

import { loadTrustedCas } from '../../src/server/contract/tls.ts'
import type { AgentFor } from '../../src/server/dial/agents.ts'
import { proxyChoice } from '../../src/server/dial/choice.ts'
import type { ServeConfig } from '../settings/config.ts'

/** Absent fields: as usual, and directly. */
export interface Outgoing {
  readonly ca?: readonly string[]
  readonly agentFor?: AgentFor
}

/** @throws StateError `invalid_option` for a proxy or an authority that can not be used. */
export async function outgoingOf(
  { tlsCa, proxy }: Pick<ServeConfig, 'tlsCa' | 'proxy'>,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Outgoing> {
  const ca = tlsCa === undefined ? undefined : await loadTrustedCas([tlsCa])
  const trusted = ca === undefined ? {} : { ca }
  const choice = proxyChoice({ proxy, env })
  if (choice === undefined) return trusted
  // Few nodes need it: the others save the memory.
  const { ProxyAgents } = await import('../../src/server/dial/agents.ts')
  const agents = new ProxyAgents(choice, trusted)
  return { ...trusted, agentFor: (url) => agents.agentFor(url) }
}
