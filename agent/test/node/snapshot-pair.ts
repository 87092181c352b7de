import type { Disk } from '../../src/log/disk.ts'
import { SnapshotStore } from '../../src/log/snapshot-store.ts'
import type { Applied, SnapshotView } from '../../src/machine/state-machine.ts'
import type { FaultPoint } from '../../src/node/fault-points.ts'
import { SnapshotBuilder } from '../../src/node/snapshot-builder.ts'
import { SnapshotCounters } from '../../src/node/snapshot-counters.ts'
import { SnapshotReceiver } from '../../src/node/snapshot-receiver.ts'
import { SnapshotSender } from '../../src/node/snapshot-sender.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Message } from '../../src/raft/message.ts'
import type { State } from '../../src/raft/state.ts'
import {
  asLogIndex,
  asNodeId,
  asTerm,
  type NodeId,
  type SnapshotHeader,
} from '../../src/raft/types.ts'
import { chunkFrame, decodeChunk } from '../../src/transport/chunk-codec.ts'
import { FRAME_HEADER_BYTES } from '../../src/transport/frame.ts'
import type { ChunkAnswer, SnapshotChunk } from '../../src/transport/transport.ts'
import { SimulatedDisk } from '../log/simulated-disk.ts'
import { sourceOf } from '../log/snapshot-parts.ts'
import { ManualClock } from './manual-clock.ts'

export const leader = asNodeId('leader')
export const follower = asNodeId('follower')
export const DIRECTORY = '/raft/snapshots'

/** Lines that were logged. */
export class Lines {
  readonly lines: string[] = []
  readonly #log = (fields: object, message: string) => {
    const cause = 'err' in fields && fields.err instanceof Error ? `: ${fields.err.message}` : ''
    this.lines.push(message + cause)
  }
  readonly info = this.#log
  readonly warn = this.#log
  readonly error = this.#log
}

/** What sender and receiver ask of a core's state, to be changed at will. */
export interface StateLike {
  term: number
  leader: NodeId | null
  role: { kind: string; progress: Map<NodeId, ReturnType<typeof peerAt>> }
  install: { header: SnapshotHeader } | null
}

/** A peer that follows the log. */
export function peerAt(match: number) {
  return { match, lacking: 0, state: 'replicate' }
}

const asState = (state: StateLike) => state as unknown as Readonly<State>

/** One node's side: its store, its counters, and where it has been. */
class Side {
  readonly disk = new SimulatedDisk()
  room = 2 ** 40
  readonly store = new SnapshotStore({
    directory: DIRECTORY,
    retain: 1,
    disk: this.disk,
    roomBytes: async () => this.room,
  })
  readonly counters = new SnapshotCounters()
  readonly logger = new Lines()
  readonly reached: FaultPoint[] = []
  readonly reach = (point: FaultPoint) => void this.reached.push(point)
  readonly state: StateLike

  constructor(state: StateLike) {
    this.state = state
  }
}

/** A leader that sends and a follower that receives, with a link between them that a test may break. */
export class Pair {
  readonly clock = new ManualClock()
  readonly from = new Side({
    term: 5,
    leader,
    role: { kind: 'leader', progress: new Map([[follower, peerAt(0)]]) },
    install: null,
  })
  readonly to = new Side({
    term: 5,
    leader,
    role: { kind: 'follower', progress: new Map() },
    install: null,
  })
  /** What the leader's machine has applied, and how long a snapshot of it is. */
  applied = 7
  bytes = 1_000_000
  released = 0
  inspect: (file: string) => Promise<Applied> = async () => this.appliedAt(this.applied)
  readonly posted: Input[] = []
  readonly messages: Message[] = []
  readonly chunks: SnapshotChunk[] = []
  readonly receiver: SnapshotReceiver
  readonly builder: SnapshotBuilder
  readonly sender: SnapshotSender
  link = (chunk: SnapshotChunk): Promise<ChunkAnswer> => this.receiver.onChunk(leader, chunk)
  writeTo: ((disk: Disk, file: string) => Promise<void>) | null = null

  constructor(bytesPerSecond = 1e12) {
    const { from, to, clock } = this
    const machine = { snapshot: () => this.#view(), inspect: (file: string) => this.inspect(file) }
    this.receiver = new SnapshotReceiver({ ...to, machine, state: () => asState(to.state) })
    this.builder = new SnapshotBuilder({ ...from, machine, clock })
    this.sender = new SnapshotSender({
      ...from,
      self: leader,
      clock,
      builder: this.builder,
      transport: {
        send: messages => void this.messages.push(...messages),
        sendChunk: (_to, chunk) => this.#carry(chunk),
      },
      state: () => asState(from.state),
      post: input => void this.posted.push(input),
      bytesPerSecond,
    })
  }

  async open(): Promise<this> {
    await this.from.store.open(null)
    await this.to.store.open(null)
    return this
  }

  appliedAt(index: number): Applied {
    return {
      index: asLogIndex(index),
      term: asTerm(3),
      configuration: Buffer.from(`c${index}`),
      chainHash: new Uint8Array(32),
    }
  }

  send(atLeast = 1): void {
    this.sender.send(follower, asLogIndex(atLeast))
  }

  /** Bytes of the file that went over the link. */
  get carried(): number {
    return this.chunks.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** Waits for a fact while time passes. */
  async until(fact: () => boolean, what: string): Promise<void> {
    for (let turn = 0; turn < 20_000; turn++) {
      if (fact()) return
      this.clock.advance(5)
      await new Promise(resolve => setImmediate(resolve))
    }
    throw new Error(`did not happen: ${what}`)
  }

  #carry(chunk: SnapshotChunk): Promise<ChunkAnswer> {
    this.chunks.push(chunk)
    return this.link(decodeChunk(chunkFrame(chunk).subarray(FRAME_HEADER_BYTES)))
  }

  #view(): SnapshotView {
    const { disk } = this.from
    const applied = this.appliedAt(this.applied)
    const source = sourceOf(disk, this.applied, this.bytes)
    const { writeTo } = this
    return {
      applied,
      writeTo: file => (writeTo === null ? source.writeTo(file) : writeTo(disk, file)),
      release: () => void this.released++,
    }
  }
}
