import { Gauge } from 'prom-client'
import type { Clock } from '../clock/clock.ts'
import type { Config } from '../config.ts'
import type { Logger } from '../node/logger.ts'
import type { NodeApi } from '../node/node-api.ts'
import { Room } from '../node/room.ts'
import { SparingNode } from '../node/sparing-node.ts'
import { freeSpace } from '../os/free-space.ts'

/** The node as clients have it: see `SparingNode`. In memory no disk counts. */
export function sparing<Query, Answer>(
  config: Config,
  node: NodeApi<Query, Answer>,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): NodeApi<Query, Answer> {
  if (config.inMemory) return node
  const room = new Room({
    directories: [...new Set([config.raftDir, config.log.dir])],
    clock,
    measure: freeSpace,
    onChange: (isShort, why) => {
      if (isShort)
        logger.error({}, `the disk is nearly full: as leader this node takes no writes: ${why}`)
      else logger.info({}, `the disk has room again: ${why}`)
    },
  })
  new Gauge({
    name: 'raft_nginx_disk_short',
    help: '1 while the disk of log or machine is nearly full: this node takes no writes then.',
    collect() {
      this.set(room.isShort ? 1 : 0)
    },
  })
  const spared = new SparingNode(node, { clock, room })
  room.start()
  spared.start()
  return spared
}
