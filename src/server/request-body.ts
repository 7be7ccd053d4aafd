/** Reading a request body, bounded. */
import type { IncomingMessage } from 'node:http'
import { StateError } from '../core/errors.ts'
import { compactJson } from '../core/json.ts'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The body as compact JSON text.
 * @param maxBytes largest body; what lies beyond it is discarded unread
 * @throws StateError `too_large`; `invalid_json`, with the text `EOF` for an empty body;
 *   `invalid_message` when the request was cut off.
 */
export async function readJsonBody(request: IncomingMessage, maxBytes: number): Promise<string> {
  const bytes = await readBody(request, maxBytes)
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch (cause) {
    throw new StateError('invalid_json', 'invalid JSON: body is not UTF-8', { cause })
  }
  if (/^[ \t\r\n]*$/.test(text)) throw new StateError('invalid_json', 'EOF')
  return compactJson(text)
}

function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers['content-length']) > maxBytes) return Promise.reject(tooLarge())
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const settle = (finish: () => void): void => {
      request.off('data', take)
      request.off('end', end)
      request.off('close', cut)
      finish()
    }
    const take = (chunk: Buffer): void => {
      size += chunk.length
      if (size <= maxBytes) {
        chunks.push(chunk)
        return
      }
      settle(() => reject(tooLarge()))
      // Read on into nothing, so that the client can finish and see the answer.
      request.resume()
    }
    const end = (): void => settle(() => resolve(Buffer.concat(chunks, size)))
    const cut = (): void =>
      settle(() => reject(new StateError('invalid_message', 'ooo: request body was cut off')))
    request.on('data', take)
    request.on('end', end)
    request.on('close', cut)
  })
}

function tooLarge(): StateError {
  return new StateError('too_large', 'Request Entity Too Large')
}
