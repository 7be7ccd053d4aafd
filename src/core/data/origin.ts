/**
 * Origins: under which name a node writes, `<id>[-b<16 hex digits>][-r<generation>]`. A node begins to
 * write under its id. Each time that it gives records lesser stamps it goes on as the next generation,
 * and when it is made from a backup it goes on as another **lineage**: what it wrote after the backup
 * was taken may be elsewhere.
 *
 * So the stamps of one origin never go down, and of two origins of one lineage the later generation wrote
 * later, whatever the stamps.
 */
export interface Origin {
  /** What the generations have in common. */
  readonly lineage: string
  /** From 0. */
  readonly generation: number
}

/** At most nine digits, so that a generation is a safe integer. */
const GENERATION = /^(.+)-r([1-9]\d{0,8})$/
const RESTORED = /-b[0-9a-f]{16}$/

/** What an id of a node, an origin and an epoch may be: it stands in rows, messages, marks and lines. */
const IDENTIFIER = /^[\w-]{1,64}$/

export function isIdentifier(text: unknown): text is string {
  return typeof text === 'string' && IDENTIFIER.test(text)
}

export function parseOrigin(origin: string): Origin {
  const [, lineage, generation] = GENERATION.exec(origin) ?? []
  if (lineage === undefined) return { lineage: origin, generation: 0 }
  return { lineage, generation: Number(generation) }
}

export function formatOrigin({ lineage, generation }: Origin): string {
  return generation === 0 ? lineage : `${lineage}-r${generation}`
}

/** The origin of the next generation. */
export function nextOrigin(origin: string): string {
  const { lineage, generation } = parseOrigin(origin)
  return formatOrigin({ lineage, generation: generation + 1 })
}

/** The origin of the generation before. */
export function previousOrigin(origin: string): string {
  const { lineage, generation } = parseOrigin(origin)
  return formatOrigin({ lineage, generation: Math.max(0, generation - 1) })
}

/** An origin of the node with this id once it was made from a backup. @param draw 16 random hex digits. */
export function restoredOrigin(id: string, draw: string): string {
  return `${nodeOf(id)}-b${draw}`
}

/** Whether the node with this id wrote under this origin. */
export function isOriginOf(id: string, origin: string): boolean {
  return origin === id || nodeOf(origin) === nodeOf(id)
}

/** The id of the node that writes under this origin. */
export function nodeOf(origin: string): string {
  return parseOrigin(origin).lineage.replace(RESTORED, '')
}
