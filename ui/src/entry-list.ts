/** The entries of a subscription, newest first, a window at a time. */
import type { Client, ClientEntry } from '../../src/client/index.ts'
import { button, element, oncePerFrame } from './dom.ts'
import { EntryCard } from './entry-card.ts'

/** Entries shown at first, and how many more each click shows. */
const WINDOW = 200

export class EntryList {
  readonly root: HTMLElement = element('div', { class: 'entries' })
  readonly #client: Client
  readonly #cards = new Map<string, EntryCard>()
  readonly #list = element('div', { class: 'cards' })
  readonly #more: HTMLButtonElement
  readonly #empty: HTMLElement
  readonly #render: () => void = oncePerFrame(() => this.#renderNow())
  #entries: readonly ClientEntry[] = []
  #limit = WINDOW

  /** `emptyText` stands there while there is no entry. */
  constructor(client: Client, emptyText: string) {
    this.#client = client
    this.#empty = element('p', { class: 'hint', hidden: '' }, emptyText)
    this.#more = button('', 'quiet more', () => {
      this.#limit += WINDOW
      this.#renderNow()
    })
    this.#more.hidden = true
    this.root.append(this.#empty, this.#list, this.#more)
  }

  show(entries: readonly ClientEntry[]): void {
    this.#entries = entries
    this.#render()
  }

  #renderNow(): void {
    const shown = this.#entries.slice(0, this.#limit)
    const paths = new Set(shown.map((entry) => entry.path))
    for (const [path, card] of this.#cards) {
      if (!paths.has(path)) this.#retire(path, card)
    }
    let at: Element | null = this.#list.firstElementChild
    for (const entry of shown) {
      const card = this.#cardOf(entry)
      // Moving only what is out of place keeps focus and scrolling where they are.
      if (card.root === at) at = at.nextElementSibling
      else this.#list.insertBefore(card.root, at)
    }
    const hiddenCount = this.#entries.length - shown.length
    this.#more.hidden = hiddenCount === 0
    this.#more.textContent = `Show more (${hiddenCount.toLocaleString()} left)`
    this.#empty.hidden = this.#entries.length > 0
  }

  #cardOf(entry: ClientEntry): EntryCard {
    const known = this.#cards.get(entry.path)
    if (known !== undefined) {
      known.update(entry)
      return known
    }
    const card = new EntryCard(this.#client, entry)
    card.root.addEventListener('editend', () => this.#render())
    this.#cards.set(entry.path, card)
    return card
  }

  #retire(path: string, card: EntryCard): void {
    if (card.isEditing) {
      if (!this.#entries.some((entry) => entry.path === path)) card.markDeleted()
      return
    }
    this.#cards.delete(path)
    card.root.remove()
  }
}
