/** docs/routes.md lists the routes of a node, as its own table of routes tells them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { backupRoutes } from '../backup/routes.ts'
import { cluster } from '../cluster/index.ts'
import { sharedTables } from '../postgres/index.ts'
import type { RouteInfo } from '../src/server/contract/route.ts'
import { serve } from './server/serve.ts'
import { PROJECT_ROOT } from './support/built.ts'

const read = (path: string): string => readFileSync(join(PROJECT_ROOT, path), 'utf8')

async function routesOfAll(): Promise<(RouteInfo & { readonly webSocket: boolean })[]> {
  const keys = [{ path: 'items/*' }]
  // It is set up and not started: there is no database here.
  const { name, setup } = sharedTables({
    url: 'postgres://127.0.0.1:1/none',
    scopes: { 'shared/*': 'table' },
  })
  const node = await serve({ plugins: [backupRoutes(), cluster({ keys }), { name, setup }] })
  return JSON.parse((await node.get('/?api=routes')).body)
}

it('the table of routes in docs/routes.md is that of a node with all plugins', async () => {
  const lines = (await routesOfAll()).map(({ path, methods, webSocket, who, description }) => {
    const ways = [...methods, ...(webSocket ? ['WebSocket'] : [])].join(', ')
    return `| \`${path.replaceAll('|', '\\|')}\` | ${ways} | \`${who}\` | ${description} |`
  })
  const table = /\n\| path \|.*\n\| --- .*\n((?:\|.*\n)+)/.exec(read('docs/routes.md'))?.[1]
  expect(table?.trimEnd().split('\n')).toEqual(lines)
})

it('what docs/routes.md says of who may use a route is what the code says', () => {
  const said = (text: string): string[] =>
    text.split('\n').flatMap((line) => /^(?: \* )?(\| `\w+` \|.*\|.*\|.*\|)$/.exec(line)?.[1] ?? [])
  const inCode = said(read('src/server/doors/who.ts'))
  expect(inCode.length).toBeGreaterThan(4)
  const page = read('docs/routes.md')
  expect(said(page.slice(0, page.indexOf('| path |')))).toEqual(inCode)
})
