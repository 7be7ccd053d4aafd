/** Local paths of proxies: globs become templates of the router, where a segment `*` is a variable. */

/**
 * The router template of a glob: a segment `*` becomes `{pathN}`, counted from 1, and a last one
 * `{pathN:.*}`, which takes anything: also `/`, also nothing. Every other character is itself.
 */
export function globTemplate(glob: string): string {
  const segments = glob.split('/')
  let count = 0
  return segments
    .map((segment, i) => {
      if (segment !== '*') return segment
      count++
      return i === segments.length - 1 ? `{path${count}:.*}` : `{path${count}}`
    })
    .join('/')
}

/** The literal path of a list: the glob without a trailing `/*`; undefined when nothing would be left. */
export function listBase(glob: string): string | undefined {
  const base = glob.endsWith('/*') ? glob.slice(0, -2) : glob
  return base === '*' ? undefined : base
}
