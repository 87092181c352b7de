import { Histogram } from '../../src/lib/histogram.ts'
import { KvMachine } from '../../src/machine/kv/kv-machine.ts'
import type { KvAnswer, KvQuery } from '../../src/machine/kv/query.ts'
import type { Idempotency } from '../../src/machine/state-machine.ts'
import type { NodeMeasures } from '../../src/node/measures.ts'
import type {
  MemberStatus,
  MembershipChange,
  NodeApi,
  NodeStatus,
} from '../../src/node/node-api.ts'
import { NotServing } from '../../src/node/not-serving.ts'
import type {
  ChangeOutcome,
  Outcome,
  ReadOutcome,
  TransferOutcome,
} from '../../src/node/outcome.ts'
import { asLogIndex, asNodeId, asTerm, type LogIndex } from '../../src/raft/types.ts'

const NONE = new Uint8Array(0)

export const MEMBERS: readonly MemberStatus[] = [1, 2, 3].map(n => ({
  id: asNodeId(`node${n - 1}`),
  address: `127.0.0.1:8${n}85`,
  raftBind: `127.0.0.1:8${n}86`,
  gateway: `http://127.0.0.1:8${n}00`,
  role: 'voter',
  identified: true,
}))

/** node0 of three, with a real machine and without a log: what it is told to do happens at once. */
export class SimulatedNode implements NodeApi<KvQuery, KvAnswer> {
  readonly machine = new KvMachine({ file: null })
  applied = 0
  proposals = 0
  leader: string | null = 'node0'
  /** a full queue */
  overloaded = false
  /** a majority that does not answer */
  cutOff = false
  /** code of a machine that refuses */
  refusesWith: string | null = null
  /** a disk that fails under the machine */
  broken = false
  /** proposals wait for it */
  gate: Promise<void> = Promise.resolve()
  caughtUp = true
  /** node1 */
  connected = true
  /** why the machine is not trusted */
  quarantine: string | null = null
  firstIndex = 1
  installing = false
  stalenessMs: number | null = 0
  readonly persistSeconds = new Histogram()
  members = MEMBERS
  /** asked of it */
  readonly changes: MembershipChange[] = []
  /** what becomes of a change where this node leads */
  outcome: ChangeOutcome = { kind: 'applied' }
  transferred: TransferOutcome = { kind: 'failed' }
  /** how often a linearizable read was asked for */
  confirmations = 0

  constructor() {
    this.machine.open({ clusterId: 'c', nodeId: asNodeId('node0'), incarnation: 'i' })
  }

  async propose(command: Uint8Array, idempotency: Idempotency | null = null): Promise<Outcome> {
    this.proposals++
    await this.gate
    if (this.leader === null) return { kind: 'no-leader' }
    if (this.leader !== 'node0') return { kind: 'not-leader', leader: asNodeId(this.leader) }
    if (this.overloaded) return { kind: 'overloaded' }
    if (this.cutOff) return { kind: 'unknown' }
    const position = { index: asLogIndex(++this.applied), term: asTerm(3) }
    const refused = this.refusesWith
    const entry = { position, command: refused === null ? command : null, timeMs: 0, idempotency }
    const [result] = await this.machine.apply([entry], NONE)
    if (refused !== null) {
      return { kind: 'applied', position, result: { kind: 'rejected', code: refused } }
    }
    if (result === null || result === undefined) throw new Error('no result')
    return { kind: 'applied', position, result }
  }

  async query(query: KvQuery): Promise<KvAnswer> {
    if (this.quarantine !== null) throw new NotServing(`this node is ${this.quarantine}`)
    if (this.broken) throw new Error('SQLITE_IOERR: /secret/path')
    return this.machine.query(query)
  }

  async linearizable(): Promise<ReadOutcome> {
    this.confirmations++
    if (this.quarantine !== null) return { kind: 'no-leader' }
    if (this.leader === null || this.cutOff) return { kind: 'no-leader' }
    return { kind: 'ready', index: asLogIndex(this.applied) }
  }

  async waitApplied(index: LogIndex): Promise<boolean> {
    return index <= this.applied
  }

  async change(change: MembershipChange): Promise<ChangeOutcome> {
    this.changes.push(change)
    if (this.leader === null) return { kind: 'no-leader' }
    if (this.leader !== 'node0') return { kind: 'not-leader', leader: asNodeId(this.leader) }
    return this.outcome
  }

  async transfer(): Promise<TransferOutcome> {
    if (this.leader === null) return { kind: 'no-leader' }
    if (this.leader !== 'node0') return { kind: 'not-leader', leader: asNodeId(this.leader) }
    return this.transferred
  }

  status(): NodeStatus {
    const leader = this.leader === null ? null : asNodeId(this.leader)
    const notReady =
      this.quarantine ??
      (leader === null ? 'no leader known' : this.caughtUp ? '' : 'catching up with the leader')
    return {
      id: asNodeId('node0'),
      address: '127.0.0.1:8185',
      role: leader === null ? 'candidate' : leader === 'node0' ? 'leader' : 'follower',
      term: asTerm(3),
      leader,
      commitIndex: asLogIndex(this.applied),
      appliedIndex: asLogIndex(this.applied),
      lastIndex: asLogIndex(this.applied),
      firstIndex: asLogIndex(this.firstIndex),
      snapshots: { stored: asLogIndex(5), sending: null, installing: this.installing },
      members: this.members,
      ready: notReady === '',
      notReady,
      quarantine: this.quarantine,
      check: { index: asLogIndex(0), verdict: 'agreed' },
      stalenessMs: this.stalenessMs,
      uptimeMs: 7,
      chain: { index: asLogIndex(this.applied), hash: '00' },
      links: [
        {
          peer: asNodeId('node1'),
          connected: this.connected,
          lastError: null,
          refused: false,
          stranger: false,
        },
      ],
    }
  }

  measures(): NodeMeasures {
    return {
      persistSeconds: this.persistSeconds,
      applySeconds: new Histogram(),
      campaigns: 2,
      leaderChanges: 1,
      logBytes: 1000,
      compactions: 6,
      snapshots: {
        ...{ built: 7, sent: 8, received: 9, failed: 10 },
        ...{ bytesSent: 11, bytesReceived: 12, installs: 13 },
      },
      waiting: { proposals: 0, uncommitted: 3, reads: 0, indexes: 0, persists: 0 },
      peers: this.leader === 'node0' ? [{ peer: asNodeId('node1'), lag: 4 }] : [],
    }
  }

  /** Keys as hexadecimal bytes. */
  keys(): string[] {
    const { keys } = this.machine.query({ kind: 'keys', prefix: NONE, separator: NONE })
    return (keys ?? []).map(key => Buffer.from(key).toString('hex'))
  }
}
