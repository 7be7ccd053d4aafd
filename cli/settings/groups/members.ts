/** The settings of `ooo serve` about who is a member of the cluster, beside who follows. */
import { PIVOT2_RULE, parsePivot2 } from '../../../cluster/members/listed-nodes.ts'
import { type Kind, type SettingsTable, SWITCH } from '../reading/setting.ts'

export interface MembersConfig {
  /** Nodes of protocol 2.0 that may join; see `ClusterOptions.pivot2`. */
  readonly pivot2: readonly string[]
  /** Clients may write below the nodes key, which is theirs then. */
  readonly nodesWritable: boolean
}

const PIVOT2: Kind<readonly string[]> = {
  placeholder: 'NODE',
  allowed: PIVOT2_RULE,
  parse: (text) => {
    const nodes = text.split(/\s+/).filter((node) => node !== '')
    return nodes.length > 0 && nodes.every(parsePivot2) ? nodes : undefined
  },
  join: (values) => [...new Set(values.flat())],
}

export const MEMBERS_SETTINGS: SettingsTable<MembersConfig> = {
  pivot2: {
    flag: 'pivot2',
    env: 'OOO_PIVOT2',
    kind: PIVOT2,
    fallback: [],
    fallbackText: 'none may join',
    meaning:
      'node of protocol 2.0 that may join, such as 10.0.0.7:8800=items/*,rw; may be repeated, or several divided by spaces',
  },
  nodesWritable: {
    flag: 'nodes-writable',
    env: 'OOO_NODES_WRITABLE',
    kind: SWITCH,
    fallback: false,
    meaning: 'let clients write below the nodes key; the cluster keeps off it then',
  },
}
