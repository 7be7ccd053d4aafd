/** `ooo node new-identity`: makes the node of a copied data folder a node of its own. */
import { VOTING_ROW, withoutWholeDisk } from '../../cluster/election/voters/voting.ts'
import { StateError } from '../../src/core/errors.ts'
import { newNodeId } from '../../src/server/process/node-id.ts'
import { giveNewIdentity } from '../../src/store/recovery/new-identity.ts'
import { type Command, EXIT } from '../command/command.ts'
import { changeStopped } from '../offline/stopped-node.ts'
import { NODE_SETTINGS, placeOf } from '../settings/backup-settings.ts'
import { settingsOf } from '../settings/reading/resolve.ts'

export const NODE: Command = {
  name: 'node',
  summary: 'gives the node of a copied data folder an id of its own',
  operands: 'new-identity',
  operandCount: [1, 1],
  settings: settingsOf(NODE_SETTINGS),
  notes: [
    'The node must be stopped. It keeps its records and what its leaders have not acknowledged yet, which it sends to them when it is started again. It votes for nothing until it is added to the voters (ooo voters add).',
    'For a node that its leader refuses because another one with its id was let in: one data folder was copied, or set back to an older state.',
  ],
  async run(args, context) {
    const [action = ''] = args.positionals
    if (action !== 'new-identity') {
      throw new StateError('invalid_option', `${action}: give new-identity`)
    }
    const place = placeOf(args, context.env)
    if (place.kind === 'node') {
      throw new StateError('invalid_option', 'give --data DIR, the folder of a stopped node')
    }
    const { before, id } = await changeStopped(place, (adapter) =>
      giveNewIdentity(adapter, { newId: newNodeId, change: { [VOTING_ROW]: withoutWholeDisk } }),
    )
    context.stdout(`the node was ${before}, and is ${id} from its next start on\n`)
    return EXIT.done
  },
}
