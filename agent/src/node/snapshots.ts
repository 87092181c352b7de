import type { SnapshotStore } from '../log/snapshot-store.ts'
import type { Effect } from '../raft/effect.ts'
import type { Message } from '../raft/message.ts'
import type { NodeId } from '../raft/types.ts'
import type { ChunkAnswer, SnapshotChunk } from '../transport/transport.ts'
import { Compactor } from './compactor.ts'
import { type Install, Installer } from './installer.ts'
import type { Loop } from './loop.ts'
import type { NodeMeasures } from './measures.ts'
import type { SnapshotsStatus } from './node-api.ts'
import type { NodeOptions } from './node-options.ts'
import { SnapshotBuilder } from './snapshot-builder.ts'
import { SnapshotCounters } from './snapshot-counters.ts'
import { SnapshotReceiver } from './snapshot-receiver.ts'
import { SnapshotSender } from './snapshot-sender.ts'

/** All that keeps the log short and helps who lacks what is gone: compacting, building, sending, receiving, installing. */
export class Snapshots {
  readonly #counters = new SnapshotCounters()
  readonly #store: SnapshotStore
  readonly #loop: Loop
  readonly #builder: SnapshotBuilder
  readonly #sender: SnapshotSender
  readonly #receiver: SnapshotReceiver
  readonly #compactor: Compactor
  readonly #installer: Installer

  /** @param onInstalled machine and log are the snapshot's */
  constructor(
    options: NodeOptions<never, unknown>,
    loop: Loop,
    onInstalled: (install: Install) => void,
  ) {
    const { log, machine, snapshots, transport, clock, logger, reach = () => {} } = options
    const counters = this.#counters
    const { state, post } = loop
    const { store } = snapshots
    const common = { machine, store, clock, reach, counters, logger }
    this.#store = store
    this.#loop = loop
    this.#builder = new SnapshotBuilder(common)
    const self = options.identity.nodeId
    this.#sender = new SnapshotSender({
      ...common,
      ...{ self, builder: this.#builder, transport, state, post },
    })
    this.#receiver = new SnapshotReceiver({ ...common, state })
    this.#compactor = new Compactor({
      ...{
        log,
        machine,
        store,
        builder: this.#builder,
        transport,
        settings: snapshots,
        logger,
        reach,
        loop,
      },
      sending: () => this.#sender.sending(),
    })
    this.#installer = new Installer({
      ...{ log, machine, store, reach },
      file: header => this.#receiver.ready(header),
      idle: () => this.#compactor.idle(),
      onInstalled: async install => {
        await this.#receiver.installed()
        onInstalled(install)
      },
      onError: loop.fail,
    })
  }

  status(): SnapshotsStatus {
    return {
      stored: this.#store.newest()?.header.position.index ?? null,
      sending: this.#sender.sending(),
      installing: this.#installer.isInstalling,
    }
  }

  measures(): NodeMeasures['snapshots'] {
    const { built, sent, received, failed, bytesSent, bytesReceived } = this.#counters
    const { installs } = this.#installer
    return { built, sent, received, failed, bytesSent, bytesReceived, installs }
  }

  /** How often the front of the log was dropped. */
  get compactions(): number {
    return this.#compactor.compactions
  }

  /** A machine that is not to be trusted is given to nobody. */
  send({ to, atLeast }: Extract<Effect, { kind: 'send-snapshot' }>): void {
    const { standsAside } = this.#loop.state()
    if (standsAside) this.#loop.post({ kind: 'snapshot-sent', to, ok: false })
    else this.#sender.send(to, atLeast)
  }

  install(install: Install): void {
    this.#installer.begin(install)
  }

  onChunk(from: NodeId, chunk: SnapshotChunk): Promise<ChunkAnswer> {
    return this.#receiver.onChunk(from, chunk)
  }

  /** Whether the core may see a message now: of a snapshot only once its file is here. Whoever sent it asks again. */
  admits(message: Message): boolean {
    return message.kind !== 'install-snapshot' || this.#receiver.ready(message.header) !== null
  }

  /** @param bytes of commands that the machine has taken */
  applied(bytes: number): void {
    this.#compactor.applied(bytes)
  }

  /** To be called often. @param now monotonic ms */
  tick(now: number): void {
    this.#compactor.tick(now)
  }

  /** Resolves when nothing of it is under way. */
  async stop(): Promise<void> {
    this.#receiver.stop()
    await this.#sender.stop()
    await this.#compactor.idle()
    await this.#installer.drained()
    await this.#store.close()
  }
}
