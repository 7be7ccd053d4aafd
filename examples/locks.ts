/** How do I change a value that others change too, and follow every change without missing one? */
import { createServer, isStateError } from 'ooo-cluster'
import { MemoryStorage } from 'ooo-cluster/storage/memory'

const server = createServer({ storage: new MemoryStorage(), port: 0 })
await server.open()
const { database } = server

// From here on: in order, at its own speed, in bounded memory.
const watch = database.watch({ pattern: 'stock/*' })
await database.set('stock/apples', '3')

/** Takes one apple; whoever comes meanwhile waits for its turn. */
async function takeOne(): Promise<boolean> {
  const { lock, entry } = await database.getAndLock('stock/apples', { ttlMs: 2000, waitMs: 5000 })
  const left = Number(entry.data) - 1
  if (left < 0) {
    database.unlock(lock.key, lock.token)
    return false
  }
  await database.setAndUnlock(lock.key, String(left), lock.token)
  return true
}
const taken = await Promise.all(Array.from({ length: 5 }, takeOne))
console.log('taken:', taken.filter(Boolean).length, 'of', taken.length)

// A plain write waits for the lock as well, and gives up after a while.
const { token } = await database.lock('stock/apples')
const refusal = await database.set('stock/apples', '100', { waitMs: 20 }).catch((error) => error)
console.log('refused:', isStateError(refusal) ? refusal.code : 'no')
await database.setAndUnlock('stock/apples', '100', token)

const seen: string[] = []
for await (const { changes } of watch) {
  for (const { after } of changes) seen.push(after.kind === 'entry' ? after.data : 'gone')
  if (seen.at(-1) === '100') break
}
console.log('seen:', seen.join(', '))

await server.close()
