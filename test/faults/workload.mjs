// What a writing process does, as a function of the number of the operation: every fifth a single
// write, a push, a batch over five keys, a delete of one key or of many, a batch that also deletes.
// So whoever knows the numbers knows the whole state. Shared by the process that writes and the test.

const names = ['a', 'b', 'c', 'd', 'e']

/** The operation with number `n`. */
export function operationAt(n) {
  if (n % 5 === 0) return { kind: 'set', keys: [`k/${n % 17}`] }
  if (n % 5 === 1) return { kind: 'push', keys: ['p/*'] }
  if (n % 5 === 2) return { kind: 'batch', keys: names.map((name) => `b/${n % 3}/${name}`) }
  if (n % 10 === 3) return { kind: 'delete', keys: [`k/${(n * 7) % 17}`] }
  if (n % 10 === 8) return { kind: 'delete', keys: [`b/${n % 3}/*`] }
  return { kind: 'batch', keys: names.map((name) => `c/${name}`), pushes: 'p/*' }
}

/** Applies the operation with number `n` to a state: a map from keys, or `p/<n>` for a push, to numbers. */
export function applyTo(state, n) {
  const { kind, keys, pushes } = operationAt(n)
  for (const key of keys) {
    if (kind === 'push') state.set(`p/${n}`, n)
    else if (kind !== 'delete') state.set(key, n)
    else if (!key.endsWith('*')) state.delete(key)
    else for (const name of names) state.delete(key.replace('*', name))
  }
  if (pushes !== undefined) state.set(`p/${n}`, n)
}

/** Does the operation with number `n` on a store. Data is the number, with some text to fill files. */
export async function runOn(store, n) {
  const { kind, keys, pushes } = operationAt(n)
  const json = JSON.stringify({ n, text: 'x'.repeat((n * 37) % 400) })
  if (kind === 'set') return store.set(keys[0], json)
  if (kind === 'push') return store.push(keys[0], json)
  if (kind === 'batch') {
    const items = keys.map((key) => ({ op: 'set', key, json }))
    if (pushes !== undefined) items.splice(2, 0, { op: 'push', key: pushes, json })
    return store.batch(items)
  }
  // A key that is not there can not be deleted, and is then as it should be.
  return store.delete(keys[0]).catch((error) => {
    if (error.code !== 'not_found') throw error
  })
}
