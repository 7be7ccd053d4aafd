/** Texts of protocol 2.0 as its peers read and write them; shares no code with the cluster. */
import type * as http from 'node:http'

/** What is stored under a key. */
export interface Meta {
  created: bigint
  updated: bigint
  data: string
}

/** The path without its first `/*`. */
export function baseOf(path: string): string {
  return path.replace('/*', '')
}

/** The last segment of a key. */
export function last(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

/** Whether a synced path covers a key. */
export function matches(path: string, key: string): boolean {
  if (!path.includes('*')) return path === key
  const base = `${baseOf(path)}/`
  return key.startsWith(base) && !key.slice(base.length).includes('/')
}

/** A meta object. */
export function print(key: string, { created, updated, data }: Meta): string {
  return `{"created":${created},"updated":${updated},"index":"${last(key)}","path":"${key}","data":${data}}`
}

/** A pushed meta object; throws when it is none. */
export function parse(text: string): { index: string; meta: Meta } {
  const found =
    /^\{"created":(\d+),"updated":(\d+),"index":"([^"]*)"(?:,"path":"[^"]*")?,"data":([\s\S]*)\}\n?$/.exec(
      text,
    )
  const [, created, updated, index, data] = found ?? []
  if (created === undefined || updated === undefined || index === undefined || !data) {
    throw new Error(`not a meta object: ${text}`)
  }
  JSON.parse(data)
  return { index, meta: { created: BigInt(created), updated: BigInt(updated), data } }
}

/** Long integers as marked strings, so that they survive JSON.parse. */
export function quoted(text: string): string {
  return text.replace(/:(\d{16,})/g, ':"@$1"')
}

/** Undoes `quoted`. */
export function unquoted(text: string): string {
  return text.replace(/:"@(\d+)"/g, ':$1')
}

/** A stamp that came through `quoted`. */
export function stamp(value: unknown): bigint {
  return BigInt(String(value).replace('@', ''))
}

/** `host:port` of a node record; undefined for other data. */
export function addressOf(data: string): string | undefined {
  const fields = JSON.parse(data) as Record<string, unknown>
  const host = fields.ip ?? fields.IP
  const port = Number(fields.port ?? fields.Port)
  return typeof host === 'string' && host !== '' && port > 0 ? `${host}:${port}` : undefined
}

/** The whole body. */
export async function bodyOf(incoming: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

/** Answers. */
export function reply(outgoing: http.ServerResponse, status: number, body: string): void {
  outgoing.writeHead(status)
  outgoing.end(body)
}
