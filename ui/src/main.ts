/** The web UI of a node: its clock, its nodes, and its data, live. */
import { createClient } from '../../src/client/index.ts'
import { mountBrowse } from './browse-view.ts'
import { byId } from './dom.ts'
import { mountHeader } from './header.ts'
import { mountNodes } from './nodes-panel.ts'

const client = createClient({ url: location.origin, exactNumbers: true })

mountHeader(byId('header'), client)
mountNodes(byId('nodes'), client)
mountBrowse(byId('browse'), client)

// A page that sleeps or loses its network does not wait for its timers when it is back.
window.addEventListener('online', () => client.reconnectNow())
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') client.reconnectNow()
})
