/**
 * `install-child.ts <directory>`: a node whose three entries are committed and applied is sent the snapshot of a
 * leader of a later term, which holds other ones from the second on. Prints what became of it, an `End` as JSON.
 */
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { SnapshotStore, type StoredSnapshot } from '../../../src/log/snapshot-store.ts'
import { KvMachine } from '../../../src/machine/kv/kv-machine.ts'
import { decodeEnvelope } from '../../../src/node/envelope.ts'
import { encodeConfiguration, initialConfiguration } from '../../../src/raft/configuration.ts'
import { asLogIndex, asNodeId, asTerm, type Entry, ORIGIN } from '../../../src/raft/types.ts'
import type { MemoryNetwork } from '../../../src/transport/memory-transport.ts'
import { Recorder } from '../../transport/harness.ts'
import { eventually } from '../in-process-cluster.ts'
import { contactOf, entriesOf, IDENTITY, NAMES, SELF, story } from './story.ts'

const OTHER = { leader: asNodeId('c'), term: 2, value: 'new', prev: ORIGIN }
const TERM = asTerm(OTHER.term)

const directory = process.argv[2] ?? ''
const end = await story(async (network, fatal) =>
  bring(network, fatal, await snapshotIn(join(directory, 'theirs'))),
)
process.stdout.write(`${JSON.stringify(end)}\n`)

/** Of the other history, as its leader would have built it. */
async function snapshotIn(directory: string): Promise<StoredSnapshot> {
  await mkdir(directory)
  const machine = new KvMachine({ file: join(directory, 'kv.sqlite') })
  await machine.open({ ...IDENTITY, nodeId: OTHER.leader, incarnation: 'c-1' })
  const configuration = encodeConfiguration(initialConfiguration(NAMES.map(contactOf)))
  await machine.apply(entriesOf(OTHER).map(committed), configuration)
  const store = new SnapshotStore({ directory: join(directory, 'snapshots'), retain: 1 })
  await store.open(null)
  const view = await machine.snapshot()
  const writeTo = (file: string) => view.writeTo(file)
  const stored = await store.build({ applied: view.applied, writeTo })
  view.release()
  await machine.close()
  return stored
}

function committed({ index, term, kind, payload }: Entry) {
  const command = kind === 'command' ? decodeEnvelope(payload).command : null
  return { position: { index, term }, command, timeMs: 0, idempotency: null }
}

/** Leads the later term, sends the file, and says that it is to be installed. */
async function bring(
  network: MemoryNetwork,
  fatal: readonly unknown[],
  { header, file }: StoredSnapshot,
): Promise<void> {
  const recorder = new Recorder()
  const transport = network.transport({ ...contactOf(OTHER.leader), incarnation: 'c-1' })
  await transport.start(recorder)
  const members = NAMES.map(name => ({ ...contactOf(name), incarnation: '' }))
  transport.setMembership({ members, open: false })
  const envelope = { from: OTHER.leader, to: SELF, term: TERM }
  const prev = { index: asLogIndex(1), term: asTerm(1) }
  const commit = asLogIndex(1)
  transport.send([{ kind: 'append-entries', ...envelope, prev, entries: [], commit }])
  await eventually('it follows', () => recorder.messages.length > 0 || undefined)
  const chunk = { header, offset: 0, bytes: readFileSync(file) }
  const { kind } = await transport.sendChunk(SELF, chunk)
  if (kind !== 'complete') throw new Error(`the snapshot is ${kind}`)
  const before = recorder.messages.length
  transport.send([{ kind: 'install-snapshot', ...envelope, header }])
  const answered = () => fatal.length > 0 || recorder.messages.length > before
  await eventually('an answer', () => answered() || undefined)
  await transport.close()
}
