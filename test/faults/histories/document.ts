/** The documents that clients write: a unique id and, where they are large, a text that shows whether it is whole. */

export interface LargeDocument {
  readonly id: string
  /** The id of the set that wrote the text; a patch changes `id` alone. */
  readonly set: string
  /** Length of the text, characters. */
  readonly size: number
  readonly text: string
}

/** Stands for a document whose text is not what was written: nobody wrote this id, so the checker names it. */
const TORN = 'torn'

/** @param size of the text; 0: none */
export function documentToSet(id: string, size: number): object {
  return size === 0 ? { id, set: id } : { id, set: id, size, text: textOf(id, size) }
}

/** What is recorded of a document that was read: without its text, once that is what was written. */
export function recorded(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || !('size' in data)) return data
  const { text, ...rest } = data as LargeDocument
  const isWhole = typeof rest.size === 'number' && text === textOf(rest.set, rest.size)
  return isWhole ? rest : { ...rest, id: TORN }
}

/** Made of the id, so that a mixture of two texts is seen. */
function textOf(set: string, size: number): string {
  const word = `${set}-`
  return word.repeat(Math.ceil(size / word.length)).slice(0, size)
}
