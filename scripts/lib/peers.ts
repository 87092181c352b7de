/** How the agents of a cluster of this machine know each other. */

import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type NodePlace, type Place, ROOT } from './layout.ts'

const PROGRAM = join(ROOT, 'agent/dist/cli/raft-nginx.js')

/** Where a cluster's certificates are. */
export function certificateDirectory({ directory, shape }: Omit<Place, 'nodes'>): string {
  return join(directory, `tls-${shape.clusterName}`)
}

/** Settings of this node; what it needs for them is made where it is missing. */
export function peerSettings(place: Place, node: NodePlace): Record<string, unknown> {
  const { directory, shape } = place
  switch (shape.peers) {
    case 'tls': {
      const tls = certificateDirectory(place)
      const file = (name: string) => join(tls, name)
      if (!existsSync(file(`${node.id}.pem`))) makeCertificate(place, node)
      const [cert, key] = [file(`${node.id}.pem`), file(`${node.id}.key`)]
      return { peer_tls: { ca: file('ca.pem'), cert, key } }
    }
    case 'secret': {
      const file = join(directory, 'peer-secret')
      const secret = randomBytes(33).toString('base64')
      if (!existsSync(file)) writeFileSync(file, `${secret}\n`, { mode: 0o600, flag: 'wx' })
      return { peer_secret_file: file }
    }
    default:
      // The network of hosts that are namespaces is this machine's alone.
      return shape.network === null ? {} : { peer_insecure: true }
  }
}

function makeCertificate(place: Place, { id }: NodePlace): void {
  const cluster = ['--cluster-name', place.shape.clusterName]
  const args = ['tls', 'init', '--dir', certificateDirectory(place), ...cluster, '--nodes', id]
  const ran = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' })
  if (ran.status !== 0) throw new Error(`no certificate for ${id}: ${ran.stderr}`)
}
