/** WebSocket subscriptions to keys: one binary frame per envelope; what clients send is discarded. */
import type { Place } from '../../fanout/hub.ts'
import type { SubscriberSocket } from './subscriber-socket.ts'

/** Joins an open socket to its pool, from the first frame until the connection ends. */
export function serveSubscription(
  socket: SubscriberSocket,
  place: Place,
  heldVersion: string | undefined,
): void {
  socket.onGone(() => place.close())
  place.attach(socket, heldVersion)
}
