/** The side of a node that `ooo dev` runs as a child process and watches over. */

/** Environment variable that `ooo dev` sets for its children, and nobody else should. */
export const SUPERVISED = 'OOO_SUPERVISED'

/** What a child tells its supervisor when it serves. */
export interface ReadyMessage {
  readonly type: 'ready'
  readonly url: string
}

export function isReadyMessage(message: unknown): message is ReadyMessage {
  return (
    typeof message === 'object' && message !== null && 'type' in message && message.type === 'ready'
  )
}

/** Tells the supervisor, if there is one, that this node serves. */
export function reportReady(env: Readonly<Record<string, string | undefined>>, url: string): void {
  if (env[SUPERVISED] === undefined || !process.connected) return
  process.send?.({ type: 'ready', url } satisfies ReadyMessage)
}

/** Calls `gone` when the supervisor is no more, however it ended. */
export function followSupervisor(
  env: Readonly<Record<string, string | undefined>>,
  gone: () => void,
): void {
  if (env[SUPERVISED] === undefined) return
  if (process.connected) process.once('disconnect', gone)
  else gone()
}
