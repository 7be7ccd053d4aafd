/** How do I hear of every change to a list? */
import { createServer } from 'ooo-cluster'
import { type ClientEntry, createClient } from 'ooo-cluster/client'
import { MemoryStorage } from 'ooo-cluster/storage/memory'
import WebSocket from 'ws'

interface Task {
  readonly title: string
  readonly done: boolean
}

const server = createServer({ storage: new MemoryStorage(), port: 0 })
await server.open()
// Browsers, and Node from 22 on, bring their own WebSocket.
const client = createClient({ url: server.address?.url ?? '', WebSocket })

let next: (() => void) | undefined

// `onState` gets the whole list, newest first, at once and after each change. It is kept up to
// date by small patches, also over lost connections.
const subscription = client.subscribe<Task>('tasks/*', {
  onState: (tasks) => {
    console.log(describe(tasks))
    next?.()
  },
  onStatus: (status) => console.log('status:', status.kind),
})
await change(async () => undefined)

let path = ''
await change(async () => {
  path = (await client.push('tasks/*', { title: 'write an example', done: false })).path
})
await change(() => client.patch(path, { done: true }))
await change(() => client.delete(path))

subscription.close()
await server.close()

function describe(tasks: readonly ClientEntry<Task>[]): string {
  const titles = tasks.map(({ data }) => `${data.title} (${data.done ? 'done' : 'open'})`)
  return `tasks: ${titles.join(', ') || 'none'}`
}

/** Does something and waits for the state that follows. */
async function change(work: () => Promise<unknown>): Promise<void> {
  const heard = new Promise<void>((resolve) => {
    next = resolve
  })
  await work()
  await heard
}
