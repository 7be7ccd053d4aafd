/**
 * Who may use a route. It is asked before the route hears of a request; middleware decides beside it.
 *
 * | who | host name | pages | credential |
 * | --- | --- | --- | --- |
 * | `anyone` | any | those that are served | none |
 * | `client` | one of the node's | those that are served | none |
 * | `token` | as `client` | as `client` | the cluster token, where there is one |
 * | `node` | as `client` | as `client` | the cluster token; where there is none, this machine or an open cluster |
 * | `peer` | as `client`; any for a WebSocket handshake without an origin | none | as `node` |
 * | `listed` | as `client` | none | as `node`, and from the place of a listed node of protocol 2.0 |
 *
 * A request that shows a credential of the node comes under any host name, and from any page to what is for pages.
 */
export type Who = 'anyone' | 'client' | 'token' | 'node' | 'peer' | 'listed'
