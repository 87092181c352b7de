import type { Config } from '../config.ts'
import { type Relay, startRelay } from '../gateway/relay.ts'
import type { NodeApi, NodeStatus } from '../node/node-api.ts'
import { relayPath } from '../os/socket-path.ts'
import { asNodeId, NODE_ID } from '../raft/types.ts'
import type { PeerDoors } from './peer-doors.ts'

type StatusOf = Pick<NodeApi<never, unknown>, 'status'>

/** Takes what nginx sends to other nodes there; null: nginx does so by itself, or there is none. */
export async function relayOf(
  { server: { socket, socketMode } }: Config,
  doors: PeerDoors,
  node: StatusOf,
): Promise<Relay | null> {
  const lanes = socket === null ? null : doors.lanes(() => membersOf(node))
  if (socket === null || lanes === null) return null
  const relay = await startRelay({
    path: relayPath(socket),
    mode: socketMode,
    wayTo: (to, take) => (NODE_ID.test(to) ? lanes.lane(asNodeId(to), take) : take(null)),
  })
  return {
    async close() {
      await relay.close()
      lanes.close()
    },
  }
}

/** None while the node cannot say: then the configuration counts. */
function membersOf(node: StatusOf): NodeStatus['members'] {
  try {
    return node.status().members
  } catch {
    return []
  }
}
