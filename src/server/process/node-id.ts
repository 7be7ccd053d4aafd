/** Ids of nodes and epochs. */
import { customAlphabet } from 'nanoid'

/** A random id (125 bits) of letters and digits only: it is also used as a key segment. */
export const newNodeId: () => string = customAlphabet(
  '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
  21,
)
