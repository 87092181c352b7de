import { join } from 'node:path'
import { z } from 'zod'
import type { Disk } from '../log/disk.ts'
import { LogRefusal } from '../log/log-store.ts'
import { type Configuration, memberOf } from '../raft/configuration.ts'
import type { NodeId } from '../raft/types.ts'
import { readJson } from './small-files.ts'

/** In the data directory of a node that gave up what it was, for good: it never founds a cluster. */
export const REJOIN = 'rejoin.json'

const shape = z.strictObject({
  via: z.array(z.string()).min(1),
  voter: z.boolean(),
  /** incarnation that the cluster has removed */
  former: z.string(),
  since: z.string(),
})

/** How a node comes back as a new member: as `join` and `voter` of its configuration would say. */
export type Rejoin = z.infer<typeof shape>

/** Null: this node is who it always was. @throws LogRefusal when the file is there, and says nothing */
export async function readRejoin(disk: Disk, dataDir: string): Promise<Rejoin | null> {
  const file = join(dataDir, REJOIN)
  const found = await readJson(disk, file, shape)
  if (found === 'unreadable') throw new LogRefusal('damage', `${file}: not what was written`)
  return found
}

/** What is known of the cluster without the log. */
export interface Acquaintances {
  readonly id: NodeId
  /** as the machine has stored them; no members where it cannot be read */
  readonly configuration: Configuration
  /** of the configuration file */
  readonly nodes: readonly { readonly id: NodeId; readonly address: string }[]
  readonly join: { readonly via: readonly string[]; readonly voter: boolean } | null
}

/** Whom to ask, those that the log last named first; and whether to vote again. */
export function wayBack({
  id,
  configuration,
  nodes,
  join,
}: Acquaintances): Pick<Rejoin, 'via' | 'voter'> {
  const others = [...configuration.members, ...nodes].filter(node => node.id !== id)
  const addresses = [...others.map(({ address }) => address), ...(join?.via ?? [])]
  const own = memberOf(configuration, id)
  const voter = own === null ? (join?.voter ?? true) : own.role !== 'edge'
  return { via: [...new Set(addresses.filter(address => address !== ''))], voter }
}
