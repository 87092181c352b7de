import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import type { Identity, NodeId } from '../../src/raft/types.ts'
import type { Self } from '../../src/transport/handshake.ts'
import type { TcpTransportOptions } from '../../src/transport/tcp-transport.ts'
import { contactOf, freePort, node0, node1, node2, Recorder, tcp } from './harness.ts'

/** Ports for three nodes. */
export async function freePorts(): Promise<ReadonlyMap<NodeId, number>> {
  const ports = new Map<NodeId, number>()
  for (const id of [node0, node1, node2]) ports.set(id, await freePort())
  return ports
}

type Ports = ReadonlyMap<NodeId, number>

/** A started transport that is closed with the test. */
export async function started(
  t: Test,
  id: NodeId,
  ports: Ports,
  options: Partial<TcpTransportOptions> = {},
) {
  const made = tcp(id, ports, options)
  const recorder = new Recorder()
  t.teardown(() => made.transport.close())
  await made.transport.start(recorder)
  const error = (peer: NodeId) =>
    made.transport.links().find(link => link.peer === peer)?.lastError ?? ''
  const connected = (peer: NodeId) =>
    made.transport.links().some(link => link.peer === peer && link.connected)
  return { ...made, recorder, error, connected }
}

/** Of a node as its peers meet it. */
export function identity(nodeId: NodeId, change: Partial<Identity> = {}): Self {
  const { address, raftBind, gateway } = contactOf(nodeId)
  const contact = { address, raftBind, gateway }
  return { clusterId: 'test', nodeId, incarnation: `${nodeId}-1`, ...contact, ...change }
}

/** A raw connection to the port of a node, and what came back until it was closed. */
export async function raw(t: Test, port: number, ...data: readonly (Uint8Array | string)[]) {
  const socket = connect({ port, host: '127.0.0.1' })
  const received: Buffer[] = []
  t.teardown(() => socket.destroy())
  let closed = false
  socket.on('data', chunk => received.push(chunk))
  socket.on('close', () => {
    closed = true
  })
  socket.on('error', () => {})
  await once(socket, 'connect')
  for (const bytes of data) socket.write(bytes)
  return {
    socket,
    text: () => Buffer.concat(received).toString('latin1'),
    closed: () => closed,
  }
}
