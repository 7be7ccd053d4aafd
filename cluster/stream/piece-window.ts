/**
 * How many pieces of a value may be on their way. Whatever is on its way is what a small change waits for,
 * so on a slow line it is one piece; where answers come quickly it is more, up to the window of the stream.
 */

export interface PieceWindow {
  /** Pieces that may be unanswered. */
  readonly limit: number
}

/** An answer within this time makes room for one more piece, milliseconds. */
const QUICK_MS = 250
/** An answer after this time halves the room, milliseconds. */
const SLOW_MS = 750

export const FIRST_WINDOW: PieceWindow = Object.freeze({ limit: 1 })

/** A piece was answered after so many milliseconds. @param most pieces on their way at most. */
export function answered({ limit }: PieceWindow, tookMs: number, most: number): PieceWindow {
  if (tookMs <= QUICK_MS) return { limit: Math.max(1, Math.min(limit + 1, most)) }
  if (tookMs > SLOW_MS) return { limit: Math.max(1, Math.floor(limit / 2)) }
  return { limit }
}
