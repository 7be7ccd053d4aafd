/** How many turns of the event loop pass until `work` is done. @param each runs in every one of them */
export async function countTurns(
  work: Promise<unknown>,
  each: () => Promise<void> = async () => undefined,
): Promise<number> {
  let turns = 0
  let isDone = false
  const settled = work.then(
    () => {
      isDone = true
    },
    () => {
      isDone = true
    },
  )
  while (!isDone) {
    await new Promise<void>((resolve) => setImmediate(resolve))
    await each()
    turns++
  }
  await settled
  return turns
}
