/** Closing a server when the process is asked to stop. */

/** What asks a process to stop. */
export type CloseSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/** Where signals come from: `process`, or something like it. */
export interface SignalSource {
  on(signal: CloseSignal, listener: () => void): unknown
  removeListener(signal: CloseSignal, listener: () => void): unknown
}

const SIGNALS: readonly CloseSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/**
 * Waits for the first signal, closes the server and resolves with that signal. It listens no longer than
 * that, so a second signal ends the process at once, as if nobody listened.
 * @throws what `close` threw.
 */
export async function waitClose(
  server: { close(): Promise<void> },
  source: SignalSource = process,
): Promise<CloseSignal> {
  const signal = await new Promise<CloseSignal>((resolve) => {
    const listeners = SIGNALS.map((name) => [name, () => caught(name)] as const)
    const caught = (name: CloseSignal): void => {
      for (const [each, listener] of listeners) source.removeListener(each, listener)
      resolve(name)
    }
    for (const [name, listener] of listeners) source.on(name, listener)
  })
  await server.close()
  return signal
}
