/**
 * Which records of nodes a follower takes part in: its own, which goes up to its leader, unless `nodes/*` is
 * replicated by configuration or the leader is elected, when nodes have to know each other. So a fleet of n
 * followers costs n registrations, and not one for each pair of them.
 */
import type { ResolvedClusterOptions } from '../config/options.ts'

type NodesOptions = Pick<ResolvedClusterOptions, 'keys' | 'nodesKey' | 'leader'>

/** Whether this node follows the records of all nodes. */
export function followsAllNodes({ keys, nodesKey, leader }: NodesOptions): boolean {
  return leader !== undefined || keys.some(({ path }) => path === nodesKey)
}

/** The key of the record of the node with this id. */
export function nodeKey(nodesKey: string, id: string): string {
  return nodesKey.replace('*', id)
}

/** What is followed for a path of the placement by the node with this id. */
export function followedPath(path: string, options: NodesOptions, id: string): string {
  return path === options.nodesKey && !followsAllNodes(options) ? nodeKey(path, id) : path
}
