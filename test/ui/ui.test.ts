import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createServer, type Server } from '../../src/server/server.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { findChromium, launchChromium } from '../support/chromium.ts'
import { freePort } from '../support/free-port.ts'
import { type BuiltUi, buildUi } from '../support/ui-build.ts'
import { waitFor } from '../support/wait.ts'

const chromium = findChromium()
if (chromium.path === undefined) console.log(`skipping the web UI: ${chromium.reason}`)

describe.skipIf(chromium.path === undefined)('the web UI', () => {
  let ui: BuiltUi
  let browser: Browser
  let server: Server
  let port: number
  let page: Page
  let problems: string[]

  beforeAll(async () => {
    ui = await buildUi()
    browser = await launchChromium()
  })

  afterAll(async () => {
    await browser?.close()
    await ui?.remove()
  })

  beforeEach(async () => {
    port = await freePort()
    await startServer(new MemoryStorage())
    problems = []
    page = await browser.newPage()
    page.setDefaultTimeout(60_000)
    page.on('pageerror', (error) => problems.push(String(error)))
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) problems.push(message.text())
    })
  })

  afterEach(async () => {
    await page.close()
    await server.close()
    expect(problems).toEqual([])
  })

  async function startServer(storage: MemoryStorage): Promise<void> {
    server = createServer({ storage, port, uiDir: ui.directory, tickMs: 50 })
    await server.open()
  }

  const address = (path = ''): string => `http://127.0.0.1:${port}/${path}`

  async function post(key: string, json: string): Promise<void> {
    const answer = await fetch(address(key), { method: 'POST', body: json })
    expect(answer.status).toBe(200)
  }

  const read = async (key: string): Promise<string> => (await fetch(address(key))).text()
  const card = (key: string): Locator => page.locator(`article[data-path="${key}"]`)
  const add = (): Locator => page.locator('details.add')

  it('shows the clock of the server and that it is live', async () => {
    await page.goto(address())
    await page.locator('.pill[data-kind=live]').waitFor()
    const clock = page.locator('time.clock')
    const first = await clock.getAttribute('datetime')
    await waitFor(async () => (await clock.getAttribute('datetime')) !== first, {
      what: 'the clock to move',
    })
  })

  it('adds an entry, shows it, edits it and deletes it', async () => {
    await page.goto(address())
    await page.getByText('No entries yet.').waitFor()
    await add().locator('summary').click()
    await add().getByLabel('Add to items/*').fill('{"title": "Beans", "big": 9007199254740993}')
    await add().getByLabel('Index').fill('beans')
    await add().getByRole('button', { name: 'Add' }).click()
    await card('items/beans').getByText('9007199254740993').waitFor()
    expect(await read('items/beans')).toContain('"data":{"title":"Beans","big":9007199254740993}')

    await page.getByRole('button', { name: 'Edit items/beans' }).click()
    await card('items/beans').getByRole('textbox').fill('{"title": "Peas", "price": 1.10}')
    await card('items/beans').getByRole('button', { name: 'Save' }).click()
    await card('items/beans').locator('pre', { hasText: '1.10' }).waitFor()
    expect(await read('items/beans')).toContain('"data":{"title":"Peas","price":1.10}')

    await card('items/beans').getByRole('button', { name: 'Delete' }).click()
    await card('items/beans').getByRole('button', { name: 'Really delete?' }).click()
    await card('items/beans').waitFor({ state: 'detached' })
    expect(await read('items/*')).toBe('[]')
  })

  it('shows what others write, newest first, without a reload', async () => {
    await page.goto(address('#items/*'))
    await page.getByText('No entries yet.').waitFor()
    await post('items/a', '1')
    await post('items/b', '{"text":"<b id=bold>not bold</b>"}')
    await card('items/b').waitFor()
    expect(await page.locator('article h3').allTextContents()).toEqual(['b', 'a'])
    expect(await page.locator('#bold').count()).toBe(0)
    await post('items/a', '[true]')
    await card('items/a').locator('pre', { hasText: 'true' }).waitFor()
    await fetch(address('items/*'), { method: 'DELETE' })
    await page.getByText('No entries yet.').waitFor()
  })

  it('shows bad JSON and the refusals of the server next to the form', async () => {
    await page.goto(address('#items/*'))
    await add().locator('summary').click()
    await add().getByLabel('Add to items/*').fill('{bad')
    await add().getByRole('button', { name: 'Add' }).click()
    await add().getByRole('alert').filter({ hasText: 'invalid JSON' }).waitFor()
    await add().getByLabel('Add to items/*').fill('1')
    await add().getByLabel('Index').fill('not valid')
    await add().getByRole('button', { name: 'Add' }).click()
    await add().getByRole('alert').filter({ hasText: 'key is not valid' }).waitFor()
    await add().getByLabel('Index').fill('')
    await server.close()
    await add().getByRole('button', { name: 'Add' }).click()
    await add().getByRole('alert').filter({ hasText: 'Failed to fetch' }).waitFor()
    await page.locator('.pill[data-kind=offline], .pill[data-kind=connecting]').waitFor()
  })

  it('opens keys from the form and keeps the last one in the address', async () => {
    await post('settings', '{"mode":"night"}')
    await page.goto(address())
    await page.getByLabel('Key or glob').fill('settings')
    await page.getByRole('button', { name: 'Open' }).click()
    await card('settings').getByText('"night"').waitFor()
    expect(new URL(page.url()).hash).toBe('#settings')
    await page.reload()
    await card('settings').getByText('"night"').waitFor()
    await page.getByLabel('Key or glob').fill('no//key')
    await page.getByLabel('Key or glob').press('Enter')
    await page.getByText('no//key is not a valid key.').waitFor()
    await page.goBack()
    await card('settings').waitFor()
  })

  it('keeps what is being edited when the entry changes or goes', async () => {
    await post('items/a', '{"v":1}')
    await page.goto(address('#items/*'))
    await page.getByRole('button', { name: 'Edit items/a' }).click()
    const area = card('items/a').getByRole('textbox')
    await area.fill('{"v":"mine"}')
    await post('items/a', '{"v":2}')
    await card('items/a').getByText('It has changed on the server').waitFor()
    await fetch(address('items/a'), { method: 'DELETE' })
    await card('items/a').getByText('It has been deleted').waitFor()
    expect(await area.inputValue()).toBe('{"v":"mine"}')
    await card('items/a').getByRole('button', { name: 'Save' }).click()
    await card('items/a').locator('pre', { hasText: 'mine' }).waitFor()
  })

  it('deletes everything a glob covers after asking', async () => {
    await post('items/a', '1')
    await post('items/b', '2')
    await page.goto(address('#items/*'))
    await card('items/b').waitFor()
    await page.getByRole('button', { name: 'Delete all…' }).click()
    await page.getByRole('button', { name: 'Really delete all of items/*?' }).click()
    await page.getByText('No entries yet.').waitFor()
  })

  it('lists the nodes, and links only http addresses', async () => {
    const node = { id: 'n1', role: 'leader', url: 'http://127.0.0.1:8800' }
    await post('nodes/n1', JSON.stringify(node))
    await post('nodes/n2', '{"name":"till-2","IP":"10.0.0.7","Port":"9100"}')
    await post('nodes/n3', '{"id":"bad","url":"javascript:alert(1)"}')
    await page.goto(address())
    const nodes = page.locator('#nodes li')
    await nodes.nth(2).waitFor()
    expect(await nodes.locator('strong').allTextContents()).toEqual(['n1', 'till-2', 'bad'])
    expect(await page.locator('#nodes a').evaluateAll((all) => all.map(String))).toEqual([
      'http://127.0.0.1:8800/',
    ])
    await page.getByText('10.0.0.7:9100').waitFor()
  })

  it('copes with ten thousand entries', async () => {
    await Promise.all(
      Array.from({ length: 10_000 }, (_, i) => server.store.set(`items/n${i}`, `{"n":${i}}`)),
    )
    await page.goto(address('#items/*'))
    await page.getByText('10,000 entries').waitFor()
    await page.getByRole('button', { name: 'Show more (9,800 left)' }).click()
    await page.locator('article').nth(399).waitFor()
    expect(await page.locator('article').count()).toBe(400)
    await post('items/last', '"the newest"')
    await card('items/last').waitFor()
    expect(await page.locator('article h3').first().textContent()).toBe('last')
    expect(await page.locator('article').count()).toBe(400)
  })

  it('keeps its entries while the server restarts, and goes on afterwards', async () => {
    const storage = new MemoryStorage()
    await server.close()
    await startServer(storage)
    await post('items/a', '1')
    await page.goto(address('#items/*'))
    await card('items/a').waitFor()
    await server.close()
    await page.locator('.pill[data-kind=offline], .pill[data-kind=connecting]').waitFor()
    expect(await card('items/a').count()).toBe(1)
    await startServer(storage)
    await post('items/b', '2')
    await card('items/b').waitFor()
    await page.locator('.pill[data-kind=live]').waitFor()
  })
})
