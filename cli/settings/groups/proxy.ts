/** The settings of `ooo serve` about the way to the leader. */
import { isProxyUrl } from '../../../src/server/dial/choice.ts'
import type { Kind, SettingsTable } from '../reading/setting.ts'

export interface ProxyConfig {
  /** URL of an HTTP proxy, or `none`. undefined: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. */
  readonly proxy: string | undefined
}

const PROXY: Kind<string | undefined> = {
  placeholder: 'URL',
  allowed: 'none, or the URL of a proxy such as http://proxy.example:3128',
  parse: (text) => (text === 'none' || isProxyUrl(text) ? text : undefined),
}

export const PROXY_SETTINGS: SettingsTable<ProxyConfig> = {
  proxy: {
    flag: 'proxy',
    env: 'OOO_PROXY',
    kind: PROXY,
    fallback: undefined,
    fallbackText: 'as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say',
    meaning: 'HTTP proxy on the way to the leader, which must allow CONNECT; none for a direct way',
    secret: true,
  },
}
