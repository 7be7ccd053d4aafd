/** Whether two patterns may have keys in common. */

/** Characters that make a segment of a filter path more than itself. */
const META = /[*?[\\]/

/**
 * Whether some key may be covered by both patterns. Never a wrong no; a yes may be wrong, which
 * costs a look at a filter that then does not apply.
 */
export function mayOverlap(a: string, b: string): boolean {
  if (/[[\\]/.test(a) || /[[\\]/.test(b)) return true
  const left = a.split('/')
  const right = b.split('/')
  return (
    left.length === right.length &&
    left.every((segment, i) => {
      const other = right[i] ?? ''
      return segment === other || META.test(segment) || META.test(other)
    })
  )
}
