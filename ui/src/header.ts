/** The top of the page: name, connection, and the server's clock. */
import type { Client, SubscriptionStatus } from '../../src/client/index.ts'
import { element } from './dom.ts'
import { exactTime, localClock } from './format.ts'

export function mountHeader(parent: HTMLElement, client: Client): void {
  const pill = element('span', { class: 'pill', role: 'status' })
  const clock = element('time', { class: 'clock', title: 'Clock of the server' })
  const brand = element('h1', {}, element('span', { class: 'brand' }, 'ooo'), location.host)
  parent.append(brand, element('div', { class: 'spread' }, clock, pill))
  const showStatus = (status: SubscriptionStatus): void => {
    pill.dataset.kind = status.kind
    pill.textContent = statusText(status)
  }
  const showTime = (nowNs: bigint): void => {
    clock.textContent = localClock(nowNs)
    clock.dateTime = exactTime(nowNs)
    clock.title = `Clock of the server: ${exactTime(nowNs)}`
  }
  showStatus({ kind: 'connecting' })
  client.clock(showTime, { onStatus: showStatus })
}

/** One line on how a subscription stands. */
export function statusText(status: SubscriptionStatus): string {
  switch (status.kind) {
    case 'connecting':
      return 'Connecting…'
    case 'live':
      return 'Live'
    case 'offline':
      return `Offline, next try in ${Math.max(1, Math.round(status.retryInMs / 1000))} s`
    case 'closed':
      return `Closed: ${status.reason}`
  }
}
