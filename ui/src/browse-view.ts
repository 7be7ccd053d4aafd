/** Browsing: a key or glob, its entries live, and forms to add to it. */
import {
  type Client,
  type ClientEntry,
  hasGlob,
  isGlob,
  isValidKey,
  type Subscription,
  type SubscriptionState,
  type SubscriptionStatus,
} from '../../src/client/index.ts'
import { confirmButton, element } from './dom.ts'
import { EntryList } from './entry-list.ts'
import { statusText } from './header.ts'
import { jsonForm, problemOf } from './json-form.ts'

/** What is shown before anything was typed. */
const FIRST_KEY = 'items/*'

export function mountBrowse(parent: HTMLElement, client: Client): void {
  const input = element('input', {
    id: 'key',
    name: 'key',
    spellcheck: 'false',
    autocomplete: 'off',
    autocapitalize: 'off',
    placeholder: 'items/* or settings',
    'aria-describedby': 'key-error',
  })
  const open = element('button', { type: 'submit', class: 'primary' }, 'Open')
  const form = element('form', { class: 'key', role: 'search' })
  form.append(element('label', { for: 'key' }, 'Key or glob'), input, open)
  const error = element('p', { class: 'error', role: 'alert', id: 'key-error' })
  const content = element('div')
  parent.append(element('h2', { id: 'browse-title' }, 'Browse'), form, error, content)

  let closeView = (): void => undefined
  const show = (): void => {
    const key = keyOfHash()
    input.value = key
    closeView()
    content.replaceChildren()
    error.textContent = isValidKey(key) ? '' : `${key || 'The empty key'} is not a valid key.`
    closeView = isValidKey(key) ? mountKey(content, client, key) : () => undefined
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    location.hash = encodeURIComponent(input.value.trim()).replaceAll('%2F', '/')
  })
  window.addEventListener('hashchange', show)
  show()
}

function keyOfHash(): string {
  try {
    return decodeURIComponent(location.hash.slice(1)) || FIRST_KEY
  } catch {
    return location.hash.slice(1)
  }
}

/** Shows one key until the returned function is called. */
function mountKey(parent: HTMLElement, client: Client, key: string): () => void {
  const isList = hasGlob(key)
  const status = element('span', { class: 'hint', role: 'status' })
  const error = element('p', { class: 'error', role: 'alert' })
  const bar = element('div', { class: 'bar' }, status)
  if (isList) bar.append(deleteAllButton(client, key, error))
  const list = new EntryList(client, isList ? 'No entries yet.' : 'No entry under this key yet.')
  parent.append(bar, error, addForm(client, key), list.root)
  let count: number | undefined
  let standing: SubscriptionStatus = { kind: 'connecting' }
  const show = (): void => {
    const entries = count === undefined ? '' : `${count.toLocaleString()} ${plural(count)} · `
    status.textContent = entries + statusText(standing)
  }
  const subscription: Subscription<unknown> = client.subscribe(key, {
    onState(state: SubscriptionState) {
      const entries = entriesOf(state)
      count = entries.length
      error.textContent = ''
      list.show(entries)
      show()
    },
    onStatus(next) {
      standing = next
      show()
    },
    onError(problem) {
      error.textContent = `${problem.message}. Asking the server for the whole state again.`
    },
  })
  show()
  return () => subscription.close()
}

function addForm(client: Client, key: string): HTMLElement {
  if (hasGlob(key) && !isGlob(key)) {
    const text = 'To add entries, open a key without * or a glob that ends in /*.'
    return element('p', { class: 'hint' }, text)
  }
  const isList = isGlob(key)
  const form = jsonForm({
    label: isList ? `Add to ${key}` : `Write ${key}`,
    action: isList ? 'Add' : 'Write',
    text: '{\n  \n}',
    ...(isList ? { nameLabel: 'Index (made by the server when empty)' } : {}),
    async send(value, name) {
      if (isList && name === '') await client.push(key, value)
      else await client.set(isList ? key.slice(0, -1) + name : key, value)
    },
  })
  const summary = element('summary', {}, isList ? 'Add an entry' : 'Write the entry')
  return element('details', { class: 'add' }, summary, form.root)
}

function deleteAllButton(client: Client, key: string, error: HTMLElement): HTMLElement {
  const labels = { ask: 'Delete all…', confirm: `Really delete all of ${key}?` }
  return confirmButton(labels, async () => {
    error.textContent = await problemOf(() => client.delete(key))
  })
}

function entriesOf(state: SubscriptionState): readonly ClientEntry[] {
  if (state === undefined) return []
  return 'path' in state ? [state] : state
}

function plural(count: number): string {
  return count === 1 ? 'entry' : 'entries'
}
