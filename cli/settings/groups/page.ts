/** The settings of `ooo serve` about the web pages and the host names that it serves. */

import type { ServerOptions } from '../../../src/server/contract/options.ts'
import { isHostName, isOriginPattern } from '../../../src/server/doors/host-name.ts'
import type { Kind, SettingsTable } from '../reading/setting.ts'

export interface PageConfig {
  readonly allowedOrigins: readonly string[]
  readonly allowedHosts: readonly string[]
}

const ORIGINS: Kind<readonly string[]> = list({
  placeholder: 'ORIGIN',
  allowed: 'an origin such as https://app.example or https://*.app.example, or * or null',
  accepts: isOriginPattern,
})

const HOSTS: Kind<readonly string[]> = list({
  placeholder: 'NAME',
  allowed: 'the name of a host such as node.example, without a port',
  accepts: isHostName,
})

export const PAGE_SETTINGS: SettingsTable<PageConfig> = {
  allowedOrigins: {
    flag: 'allow-origin',
    field: 'allow-origins',
    env: 'OOO_ALLOW_ORIGINS',
    kind: ORIGINS,
    fallback: [],
    fallbackText: "pages of this node's own host and of this machine",
    meaning:
      'origin whose web pages may read and write here; * for all; may be repeated, or several divided by commas',
  },
  allowedHosts: {
    flag: 'allow-host',
    field: 'allow-hosts',
    env: 'OOO_ALLOW_HOSTS',
    kind: HOSTS,
    fallback: [],
    fallbackText: 'addresses, names that nobody can register, and those of the cluster',
    meaning:
      'name that requests may call this node by; may be repeated, or several divided by commas',
  },
}

/** What the server is given. */
export function pagesOf({
  allowedOrigins,
  allowedHosts,
}: PageConfig): Pick<ServerOptions, 'allowedOrigins' | 'allowedHosts'> {
  return { allowedOrigins, allowedHosts }
}

function list(options: {
  readonly placeholder: string
  readonly allowed: string
  accepts(text: string): boolean
}): Kind<readonly string[]> {
  const { placeholder, allowed, accepts } = options
  return {
    placeholder,
    allowed,
    parse: (text) => {
      const entries = text.split(',').map((entry) => entry.trim())
      return entries.every((entry) => accepts(entry)) ? entries : undefined
    },
    join: (values) => [...new Set(values.flat())],
  }
}
