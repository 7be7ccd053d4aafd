/** How a node is told, by a leader that refuses it, that it runs from a copy of another one's data. */

/** How the reason begins with which a leader ends the stream of such a node. */
const CLONE = 'clone: '
/** Longest place: a host name and an address. */
const MAX_PLACE = 310
/** Of each of the two places in the reason of a close frame, which has room for 123 bytes (RFC 6455, 5.5). */
const MAX_IN_REASON = 38

/** Where a node is: `host:port` of its URL, with the address it was seen at when that is another. */
export function placeOf(url: string | undefined, address: string): string {
  const host = url === undefined ? '' : url.replace(/^\w+:\/\//, '')
  const isSame = address === '' || hostOf(host) === address.replace(/^::ffff:/, '')
  const place = host === '' ? address : isSame ? host : `${host} from ${address}`
  return place.replace(/[^!-~ ]/g, '?').slice(0, MAX_PLACE)
}

function hostOf(host: string): string {
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}

/** The reason. @param at where the one is that is refused. */
export function refusalText(at: string, other: string): string {
  return `${CLONE}${at.slice(0, MAX_IN_REASON)} has the id of ${other.slice(0, MAX_IN_REASON)}`
}

export function isCloneRefusal(reason: string): boolean {
  return reason.startsWith(CLONE)
}

const ADVICE =
  'stop that node and run "ooo node new-identity --data DIR" on its data folder, which keeps what it wrote'

/** The reason at the node that is refused, with what to do. */
export function explainClone(reason: string): string {
  return `${reason}: this node runs from a copy of its data, or from data that was set back; ${ADVICE}`
}

/** Sentences for people at the leader. */
export function cloneWarnings(
  clones: readonly { readonly name: string; readonly at: string; readonly other: string }[],
): string[] {
  return clones.map(
    ({ name, at, other }) =>
      `"${name}" at ${at} is refused: it runs from a copy of the data of ${other}, or from data that was set back; ${ADVICE}`,
  )
}
