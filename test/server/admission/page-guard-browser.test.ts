/** What a page of a stranger can do to a node, in a real browser. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findChromium, launchChromium } from '../../support/chromium.ts'
import { afterTest, serve, type TestServer } from '../serve.ts'

const chromium = findChromium()
if (chromium.path === undefined) console.log(`skipping pages in a browser: ${chromium.reason}`)

/** What the page saw of each of its attempts. */
interface Seen {
  readonly read: string
  readonly wrote: string
  readonly blind: string
  readonly asked: string
  readonly socket: string
}

describe.skipIf(chromium.path === undefined)('a page in a browser', () => {
  let browser: Browser
  beforeAll(async () => {
    // Every name of a stranger leads to this machine, as it would by an entry of theirs in the DNS.
    browser = await launchChromium(['--host-resolver-rules=MAP *.example 127.0.0.1'])
  })
  afterAll(() => browser?.close())

  /** An empty page of another server, under that name. */
  async function open(host: string): Promise<Page> {
    const site = createServer((_request, response) => {
      response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>a page</title>')
    })
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
    afterTest(() => site.close())
    const page = await browser.newPage()
    afterTest(() => page.close())
    await page.goto(`http://${host}:${(site.address() as AddressInfo).port}/`)
    return page
  }

  function attack(page: Page, node: TestServer): Promise<Seen> {
    return page.evaluate(async (url): Promise<Seen> => {
      const tell = (answer: Promise<Response>): Promise<string> =>
        answer.then(
          ({ status, type }) => (type === 'opaque' ? 'blind' : String(status)),
          () => 'failed',
        )
      const text = { method: 'POST', body: '"written"', headers: { 'Content-Type': 'text/plain' } }
      const socket = new Promise<string>((resolve) => {
        const opened = new WebSocket(`${url.replace('http', 'ws')}/secret`)
        opened.onopen = () => resolve('open')
        opened.onerror = () => resolve('failed')
      })
      return {
        read: await tell(fetch(`${url}/secret`)),
        wrote: await tell(fetch(`${url}/a`, text)),
        blind: await tell(fetch(`${url}/b`, { ...text, mode: 'no-cors' })),
        asked: await tell(fetch(`${url}/secret`, { method: 'DELETE' })),
        socket: await socket,
      }
    }, node.url)
  }

  const keysOf = async (node: TestServer): Promise<string[]> =>
    (JSON.parse((await node.get('/*')).body) as { readonly path: string }[]).map(({ path }) => path)

  it('of a stranger reads nothing and changes nothing', async () => {
    const node = await serve()
    await node.post('/secret', '1')
    const page = await open('evil.example')
    expect(await attack(page, node)).toEqual({
      read: 'failed',
      wrote: 'failed',
      // It is not told; the node has answered 403.
      blind: 'blind',
      asked: 'failed',
      socket: 'failed',
    })
    const answered = page.waitForResponse((answer) => answer.url().endsWith('/form'))
    await page.setContent(`<form method="post" enctype="text/plain" action="${node.url}/form">
      <input name='{"a":"' value='"}'></form>`)
    await page.evaluate('document.forms[0].submit()')
    expect((await answered).status()).toBe(403)
    expect(await keysOf(node)).toEqual(['secret'])
  })

  it('of this machine, on another port, does all that', async () => {
    const node = await serve()
    await node.post('/secret', '1')
    const page = await open('localhost')
    const seen = await attack(page, node)
    expect(seen).toEqual({
      read: '200',
      wrote: '200',
      blind: 'blind',
      asked: '204',
      socket: 'open',
    })
    expect((await keysOf(node)).sort()).toEqual(['a', 'b'])
  })

  it('of a name that was made to lead to the node is not even shown', async () => {
    const node = await serve()
    const page = await browser.newPage()
    afterTest(() => page.close())
    const answer = await page.goto(`http://rebound.example:${node.port}/`)
    expect(answer?.status()).toBe(403)
    expect(await page.textContent('body')).toContain('--allow-host rebound.example')
  })

  it('of a stranger cannot show the page of the node in a frame', async () => {
    const node = await serve()
    const page = await open('evil.example')
    const refused = page.waitForEvent('console', {
      predicate: (message) => message.text().includes('frame-ancestors'),
    })
    await page.setContent(`<iframe src="${node.url}/"></iframe>`)
    await refused
  })
})
