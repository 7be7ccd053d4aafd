/** What `ooo dev` starts and what it tells about it: the part without processes. */
import { join } from 'node:path'
import type { DevConfig } from '../settings/config.ts'
import { formatTable } from '../terminal/table.ts'

/** Every node of `ooo dev` listens here. */
export const DEV_HOST = '127.0.0.1'

export interface PlannedNode {
  readonly name: string
  readonly role: 'leader' | 'follower'
  readonly url: string
  /** Folder of its data. */
  readonly data: string
  /** Arguments of `ooo`, without secrets: those go by the environment. */
  readonly args: readonly string[]
}

/** The nodes of a configuration; the leader comes first. */
export function planNodes(config: DevConfig): PlannedNode[] {
  const leaderUrl = urlOf(config.port)
  return Array.from({ length: config.nodes }, (_, i) => {
    const name = `node-${i + 1}`
    const data = join(config.data, name)
    const port = config.port + i
    const args = ['serve', '--host', DEV_HOST, '--port', `${port}`, '--name', name, '--data', data]
    args.push('--log-level', config.logLevel, ...config.keys.flatMap((key) => ['--key', key]))
    if (i > 0) args.push('--cluster-url', leaderUrl)
    return { name, role: i === 0 ? 'leader' : 'follower', url: urlOf(port), data, args }
  })
}

/**
 * What is told once all nodes serve: a table of them and commands to try. `ooo` is how this
 * program is run from the user's folder.
 */
export function welcome(
  nodes: readonly PlannedNode[],
  keys: readonly string[],
  ooo: string,
): string {
  const table = formatTable(
    ['name', 'role', 'url', 'data'],
    nodes.map(({ name, role, url, data }) => [name, role, url, data]),
  )
  return `\n${table}\nTry, in another terminal:\n${commands(nodes, keys, ooo)}\nCtrl-C stops all nodes.\n`
}

function commands(nodes: readonly PlannedNode[], keys: readonly string[], ooo: string): string {
  const first = nodes[0]?.url ?? ''
  const second = nodes[1]?.url ?? first
  const last = nodes.at(-1)?.url ?? first
  // A key with a single `*` at its end can be pushed to; any other glob only reads.
  const list = keys.find((key) => key === '*' || /^[^*]*\/\*$/.test(key))
  const written = list ?? keys.find((key) => !key.includes('*'))
  if (written === undefined) return `  ${ooo} status ${first}\n`
  return [
    `  ${ooo} watch ${last} '${written}'`,
    `  curl -X POST '${second}/${written}' -d '{"hello":"world"}'`,
    `  curl '${first}/${written}'`,
    '',
  ].join('\n')
}

function urlOf(port: number): string {
  return `http://${DEV_HOST}:${port}`
}
