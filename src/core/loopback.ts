/** Hosts that lead to the own machine. */

/** Whether a host or address is this machine's own: localhost, 127/8, ::1, and 127/8 as mapped into IPv6. */
export function isLoopback(host: string): boolean {
  return /^(localhost|(::ffff:)?127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host)
}
