/**
 * Answers that wait behind another one of their connection. When a connection ends, Node tells only the answer whose turn
 * it is (`assignSocket` in `lib/_http_server.js`). The others would stay open for ever, with all that waits for their
 * `close`.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export class PipelinedAnswers {
  readonly #open = new Map<Socket, Set<ServerResponse>>()

  /** An answer is begun on this connection. */
  begin(connection: Socket, response: ServerResponse): void {
    const answers = this.#open.get(connection) ?? this.#watch(connection)
    answers.add(response)
    response.once('close', () => answers.delete(response))
  }

  #watch(connection: Socket): Set<ServerResponse> {
    const answers = new Set<ServerResponse>()
    this.#open.set(connection, answers)
    connection.once('close', () => {
      this.#open.delete(connection)
      for (const response of answers) if (response.socket === null) end(response)
    })
    return answers
  }
}

/** As Node does with the answer whose turn it is (`emitCloseNT`). */
function end(response: ServerResponse): void {
  response.destroy()
  Reflect.set(response, '_closed', true)
  response.emit('close')
}
