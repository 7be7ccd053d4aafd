/** One entry on the page: stamps, value, and editing it in place. */
import type { Client, ClientEntry } from '../../src/client/index.ts'
import { button, confirmButton, element } from './dom.ts'
import { exactTime, jsonTokens, localTime, prettyJson } from './format.ts'
import { type JsonForm, jsonForm, problemOf } from './json-form.ts'

/** Longer values are cut on display (not when edited), so that one entry cannot stall the page. */
const MAX_SHOWN_CHARACTERS = 20_000

export class EntryCard {
  readonly root: HTMLElement = element('article', { class: 'entry' })
  readonly #client: Client
  readonly #stamps = element('p', { class: 'stamps' })
  readonly #value = element('pre', { tabindex: '0' })
  readonly #error = element('p', { class: 'error', role: 'alert' })
  readonly #actions = element('div', { class: 'buttons' })
  #entry: ClientEntry
  #form: JsonForm | undefined

  constructor(client: Client, entry: ClientEntry) {
    this.#client = client
    this.#entry = entry
    this.root.dataset.path = entry.path
    const title = element('h3', { title: entry.path }, entry.index)
    const path = element('code', { class: 'path' }, entry.path)
    const edit = button('Edit', 'quiet', () => this.#edit())
    edit.setAttribute('aria-label', `Edit ${entry.path}`)
    const remove = confirmButton({ ask: 'Delete', confirm: 'Really delete?' }, () => this.#delete())
    this.#actions.append(edit, remove)
    const head = element('header', {}, element('div', { class: 'titles' }, title, path))
    head.append(this.#actions)
    this.root.append(head, this.#stamps, this.#value, this.#error)
    this.#show()
  }

  /** Whether the user is changing it: then it stays, even when the entry goes. */
  get isEditing(): boolean {
    return this.#form !== undefined
  }

  update(entry: ClientEntry): void {
    if (entry === this.#entry) return
    this.#entry = entry
    this.#show()
    this.#form?.hint('It has changed on the server since you began.')
  }

  /** The entry is gone while it is being edited. */
  markDeleted(): void {
    this.#form?.hint('It has been deleted since you began; saving brings it back.')
  }

  #show(): void {
    const { created, updated, data } = this.#entry
    this.#stamps.replaceChildren('created ', stamp(created))
    if (updated !== 0n) this.#stamps.append(' · updated ', stamp(updated))
    this.#value.replaceChildren(...valueNodes(data))
  }

  #edit(): void {
    if (this.#form !== undefined) return
    const { path, data } = this.#entry
    this.#form = jsonForm({
      label: `Value of ${path}`,
      action: 'Save',
      text: prettyJson(data),
      send: async (value) => {
        await this.#client.set(path, value)
        this.#endEdit()
      },
      onCancel: () => this.#endEdit(),
    })
    this.#error.textContent = ''
    this.#value.hidden = true
    this.#actions.hidden = true
    this.root.append(this.#form.root)
    this.#form.focus()
  }

  #endEdit(): void {
    this.#form?.root.remove()
    this.#form = undefined
    this.#value.hidden = false
    this.#actions.hidden = false
    this.root.dispatchEvent(new Event('editend'))
  }

  async #delete(): Promise<void> {
    this.#error.textContent = await problemOf(() => this.#client.delete(this.#entry.path))
  }
}

function stamp(stampNs: bigint): HTMLElement {
  const attributes = { datetime: exactTime(stampNs), title: exactTime(stampNs) }
  return element('time', attributes, localTime(stampNs))
}

function valueNodes(data: unknown): (Node | string)[] {
  const nodes: (Node | string)[] = []
  let shown = 0
  for (const { kind, text } of jsonTokens(data)) {
    if (shown + text.length > MAX_SHOWN_CHARACTERS) {
      nodes.push('\n… the rest is not shown; edit to see all of it')
      break
    }
    shown += text.length
    nodes.push(kind === 'plain' ? text : element('span', { class: kind }, text))
  }
  return nodes
}
