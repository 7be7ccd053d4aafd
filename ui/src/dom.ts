/** Building page elements. Data only ever enters as text, never as markup. */

/** An element with attributes and children; texts become text nodes. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const created = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value)
  created.append(...children)
  return created
}

/** A button that does not submit a form. */
export function button(label: string, style: string, onClick: () => void): HTMLButtonElement {
  const created = element('button', { type: 'button', class: style }, label)
  created.addEventListener('click', onClick)
  return created
}

/** How long a second click confirms, milliseconds. */
const CONFIRM_MS = 4_000

/** A button that acts on a second click, and forgets the first one after a while. */
export function confirmButton(
  labels: { readonly ask: string; readonly confirm: string },
  onConfirm: () => void,
): HTMLButtonElement {
  let timer: ReturnType<typeof setTimeout> | undefined
  const rest = (): void => {
    clearTimeout(timer)
    timer = undefined
    created.textContent = labels.ask
    created.classList.remove('danger')
  }
  const created = button(labels.ask, 'quiet', () => {
    if (timer !== undefined) {
      rest()
      onConfirm()
      return
    }
    created.textContent = labels.confirm
    created.classList.add('danger')
    timer = setTimeout(rest, CONFIRM_MS)
  })
  return created
}

/** The element with this id, which the page has. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`the page has no element #${id}`)
  return found
}

/** Runs `render` once per frame at most, however often it is asked for. */
export function oncePerFrame(render: () => void): () => void {
  let isAsked = false
  return () => {
    if (isAsked) return
    isAsked = true
    requestAnimationFrame(() => {
      isAsked = false
      render()
    })
  }
}
