/** Sends a list in pieces, each made when the client has taken those before it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createDeflate, createGzip } from 'node:zlib'
import type { LongList } from '../../fanout/frames/long-list.ts'
import type { Turns } from '../turns/turns.ts'

/** How an answer may be compressed. */
export type Encoding = 'gzip' | 'deflate'

const compressors = { gzip: createGzip, deflate: createDeflate }

/**
 * Status and headers are set already. What is sent as it is has a length; what is compressed has none, as that is
 * known at the end only. Resolves when the list is sent, or its client has left.
 */
export async function sendList(
  request: IncomingMessage,
  response: ServerResponse,
  { list, turns }: { readonly list: LongList; readonly turns: Turns },
  encoding: Encoding | undefined,
): Promise<void> {
  if (encoding === undefined) {
    response.setHeader('Content-Length', await turns.work(list.measuring()))
  }
  if (response.destroyed) return
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const pieces = Readable.from(piecesOf(list, turns), { objectMode: true, highWaterMark: 1 })
  try {
    if (encoding === undefined) await pipeline(pieces, response)
    else await pipeline(pieces, compressors[encoding]({ level: constants.Z_BEST_SPEED }), response)
  } catch (error) {
    if (!response.destroyed) throw error
  }
}

async function* piecesOf(list: LongList, turns: Turns): AsyncGenerator<Buffer> {
  for (;;) {
    const piece = await turns.run(() => list.piece())
    if (piece === undefined) return
    yield piece
  }
}
