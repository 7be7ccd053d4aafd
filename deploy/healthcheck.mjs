/**
 * The health check of the image: ends with 0 when the node in this container answers that it is ready,
 * else with 1 and the reason, which `docker inspect` shows. It reads the same variables as the node.
 */
const { OOO_HOST = '0.0.0.0', OOO_PORT = '8800', OOO_TLS_CERT = '' } = process.env
const TIMEOUT_MS = 4_000

const secure = OOO_TLS_CERT !== ''
const { request } = await import(secure ? 'node:https' : 'node:http')
const everywhere = ['0.0.0.0', '::', ''].includes(OOO_HOST)
const outgoing = request(
  {
    host: everywhere ? '127.0.0.1' : OOO_HOST,
    port: OOO_PORT,
    path: '/-/readyz',
    // Its certificate is in other names; to itself the node need not prove who it is.
    rejectUnauthorized: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  },
  (answer) => {
    answer.pipe(process.stdout)
    answer.on('end', () => end(answer.statusCode === 200 ? 0 : 1))
  },
)
outgoing.on('error', (error) => {
  process.stdout.write(`${error.message}\n`)
  end(1)
})
outgoing.end()

function end(code) {
  process.exitCode = code
  outgoing.destroy()
}
