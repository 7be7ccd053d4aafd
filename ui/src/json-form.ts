/** A form that sends one JSON value, and shows next to it what is wrong. */
import { isStateError, parseWithJsonNumbers } from '../../src/client/index.ts'
import { button, element } from './dom.ts'

export interface JsonFormOptions {
  /** Accessible name of the text area. */
  readonly label: string
  /** Label of the button that sends. */
  readonly action: string
  /** JSON text to start from. */
  readonly text: string
  /** Label of a further one-line field, if there is to be one. */
  readonly nameLabel?: string
  /** Sends the value; a rejection is shown. `name` is the further field's text, trimmed. */
  send(value: unknown, name: string): Promise<void>
  /** When given, there is a button for it. */
  onCancel?(): void
}

export interface JsonForm {
  readonly root: HTMLFormElement
  /** Shows a hint under the form; empty to take it away. */
  hint(text: string): void
  focus(): void
}

let lastId = 0

export function jsonForm(options: JsonFormOptions): JsonForm {
  const id = `form-${++lastId}`
  const area = element('textarea', {
    id,
    rows: String(Math.min(16, options.text.split('\n').length + 1)),
    spellcheck: 'false',
    autocomplete: 'off',
    'aria-describedby': `${id}-error`,
  })
  area.value = options.text
  const name = element('input', { id: `${id}-name`, spellcheck: 'false', autocomplete: 'off' })
  const error = element('p', { class: 'error', role: 'alert', id: `${id}-error` })
  const hint = element('p', { class: 'hint' })
  const send = element('button', { type: 'submit', class: 'primary' }, options.action)
  const buttons = element('div', { class: 'buttons' }, send)
  if (options.onCancel) buttons.append(button('Cancel', 'quiet', () => options.onCancel?.()))
  const root = element('form', { class: 'json' })
  root.append(element('label', { for: id }, options.label), area)
  if (options.nameLabel !== undefined) {
    const label = element('label', { for: `${id}-name` }, options.nameLabel)
    root.append(element('div', { class: 'field' }, label, name))
  }
  root.append(error, hint, buttons)
  root.addEventListener('submit', async (event) => {
    event.preventDefault()
    send.disabled = true
    error.textContent = await problemOf(() =>
      options.send(parseWithJsonNumbers(area.value), name.value.trim()),
    )
    send.disabled = false
    if (error.textContent === '') name.value = ''
  })
  area.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) root.requestSubmit()
    if (event.key === 'Escape') options.onCancel?.()
  })
  return {
    root,
    hint: (text) => {
      hint.textContent = text
    },
    focus: () => area.focus(),
  }
}

/** What went wrong, as one line for people; empty when nothing did. */
export async function problemOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action()
    return ''
  } catch (error) {
    if (isStateError(error, 'not_found')) return `${error.message} (it may have been deleted)`
    return error instanceof Error ? error.message : String(error)
  }
}
