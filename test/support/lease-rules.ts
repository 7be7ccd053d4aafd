/** What the Kubernetes API demands of a Lease, and how it says no. */

export interface Fields {
  readonly [name: string]: unknown
}

const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/
const ANNOTATION = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?$/

/** 400: it can not be read as a Lease; 422: it is one that is not allowed. */
export function problemOf(
  object: Fields | undefined,
  namespace: string,
  name: string,
): [number, unknown] | undefined {
  if (object?.apiVersion !== 'coordination.k8s.io/v1' || object.kind !== 'Lease') {
    return failure(400, 'the object provided is unrecognized (must be of type Lease)')
  }
  const metadata = fieldsOf(object.metadata)
  const {
    leaseDurationSeconds: seconds,
    leaseTransitions: transitions,
    ...spec
  } = fieldsOf(object.spec)
  const annotations = Object.entries(fieldsOf(metadata.annotations))
  const isReadable =
    isInt32(seconds) &&
    isInt32(transitions) &&
    [spec.acquireTime, spec.renewTime].every(
      (at) => at === undefined || MICRO_TIME.test(String(at)),
    ) &&
    annotations.every(([, value]) => typeof value === 'string')
  if (!isReadable) return failure(400, 'Lease in version "v1" cannot be handled as a Lease')
  if ((metadata.namespace ?? namespace) !== namespace) {
    return failure(400, 'the namespace of the provided object does not match the request')
  }
  if (metadata.name !== name) {
    return failure(400, `the name of the object does not match the name on the URL (${name})`)
  }
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name)) {
    return failure(422, 'metadata.name: Invalid value')
  }
  if (annotations.some(([key]) => !ANNOTATION.test(key))) {
    return failure(422, 'metadata.annotations: Invalid value')
  }
  if (typeof seconds === 'number' && seconds <= 0) {
    return failure(422, 'spec.leaseDurationSeconds: must be greater than 0')
  }
  if (typeof transitions === 'number' && transitions < 0) {
    return failure(422, 'spec.leaseTransitions: must be greater than or equal to 0')
  }
  return undefined
}

function isInt32(value: unknown): boolean {
  return value === undefined || (Number.isInteger(value) && Math.abs(value as number) < 2 ** 31)
}

/** undefined: it is no JSON. */
export function objectOf(text: string): Fields | undefined {
  try {
    return fieldsOf(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** An answer of the API that says what is wrong. */
export function failure(code: number, message: string): [number, unknown] {
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure' }
  return [code, { ...status, message, code }]
}

/** No fields, of what has none. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}
