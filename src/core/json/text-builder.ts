/** Puts a long text together from many pieces without holding all of them. */

/** Pieces that are copied into one text at a time. */
const MAX_PIECES = 4096
/** So few are chained instead: copying them at each level of a nested value would add up. */
const FEW_PIECES = 8

export class TextBuilder {
  #text = ''
  #pieces: string[] = []

  push(piece: string): void {
    this.#pieces.push(piece)
    if (this.#pieces.length === MAX_PIECES) this.#flush()
  }

  /** All pieces in order. */
  get text(): string {
    this.#flush()
    return this.#text
  }

  #flush(): void {
    if (this.#pieces.length > FEW_PIECES) this.#text += this.#pieces.join('')
    else for (const piece of this.#pieces) this.#text += piece
    this.#pieces = []
  }
}
