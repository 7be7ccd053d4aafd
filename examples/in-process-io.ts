/** How does my own code read and write, without going through the network? */
import { createServer } from 'ooo-cluster'
import { MemoryStorage } from 'ooo-cluster/storage/memory'

interface Game {
  readonly title: string
  readonly score: number
}

const server = createServer({ storage: new MemoryStorage(), port: 0, static: true })
// Filters run for these calls as for requests; static mode does not ask.
server.filters.afterWrite('games/*', (key) => console.log('written:', key))
await server.open()

await server.set<Game>('games/chess', { title: 'Chess', score: 1 })
await server.set<Game>('games/go', { title: 'Go', score: 2 })
await server.patch('games/chess', { score: 3 })

// Oldest first, unless asked otherwise.
const games = await server.getList<Game>('games/*')
console.log(games.map(({ data }) => `${data.title} ${data.score}`).join(', '))
const [newest] = await server.getList<Game>('games/*', { order: 'newest', limit: 1 })
console.log('newest:', newest?.index)

await server.delete('games/go')
console.log('gone:', await server.get('games/go'))

await server.close()
