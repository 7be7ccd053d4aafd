/** The nodes that have registered themselves, live, and how this one stands among them. */
import { type Client, type ClientEntry, JsonNumber } from '../../src/client/index.ts'
import { clusterLines, followerLine } from './cluster-lines.ts'
import { watchCluster } from './cluster-watch.ts'
import { element, oncePerFrame } from './dom.ts'
import { exactTime, localTime } from './format.ts'

/** Where nodes register by default. */
const NODES = 'nodes/*'

export function mountNodes(parent: HTMLElement, client: Client): void {
  const count = element('span', { class: 'count' })
  const list = element('ul', { class: 'nodes' })
  const title = element('h2', { id: 'nodes-title' }, 'Nodes ', count)
  const standing = element('div', { class: 'standing' })
  parent.append(title, standing, list)
  let report: unknown
  let entries: readonly ClientEntry[] = []
  const render = oncePerFrame(() => {
    count.textContent = String(entries.length)
    standing.replaceChildren(...clusterLines(report).map((line) => element('small', {}, line)))
    list.replaceChildren(...entries.map((entry) => nodeItem(entry, report)))
    if (entries.length === 0) {
      list.append(element('li', { class: 'hint' }, 'No node has registered: this one is alone.'))
    }
  })
  client.subscribe(NODES, {
    onState(state) {
      entries = state.toSorted((a, b) => (a.path < b.path ? -1 : 1))
      render()
    },
  })
  watchCluster((told) => {
    report = told
    render()
  })
}

function nodeItem(entry: ClientEntry, report: unknown): HTMLElement {
  const record = isRecord(entry.data) ? entry.data : {}
  const name = textOf(record.name) ?? textOf(record.id) ?? entry.index
  const host = textOf(record.ip ?? record.IP)
  const port = textOf(record.port ?? record.Port)
  const url = textOf(record.url)
  const address = url ?? [host, port].filter((part) => part !== undefined).join(':')
  const role = textOf(record.role)
  const seenNs = entry.updated > entry.created ? entry.updated : entry.created
  const item = element('li', {}, element('strong', {}, name))
  if (role !== undefined) item.append(element('span', { class: `role ${roleClass(role)}` }, role))
  if (address !== '') item.append(addressOf(address))
  const since = element('time', { title: exactTime(seenNs) }, localTime(seenNs))
  item.append(element('small', {}, 'registered ', since))
  const line = followerLine(report, entry.index)
  if (line !== undefined) item.append(element('small', {}, line))
  return item
}

/** A link, when it is an http(s) URL; any other scheme could run something. */
function addressOf(address: string): HTMLElement {
  if (!/^https?:\/\//.test(address)) return element('code', {}, address)
  return element('a', { href: address, rel: 'noreferrer' }, address.replace(/^https?:\/\//, ''))
}

function roleClass(role: string): string {
  return role === 'leader' ? 'leader' : 'follower'
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value
  const isNumber = typeof value === 'number' || typeof value === 'bigint'
  return isNumber || value instanceof JsonNumber ? String(value) : undefined
}
