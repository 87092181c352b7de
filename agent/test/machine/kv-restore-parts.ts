import { asNodeId, type Identity } from '../../src/raft/types.ts'

export const SENDER: Identity = {
  clusterId: 'cluster-1',
  nodeId: asNodeId('node0'),
  incarnation: 'of-node0',
}

export const RECEIVER: Identity = {
  clusterId: 'cluster-1',
  nodeId: asNodeId('node1'),
  incarnation: 'of-node1',
}
