import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import type { Disk } from '../../src/log/disk.ts'
import {
  type SnapshotSource,
  SnapshotStore,
  type StoredSnapshot,
} from '../../src/log/snapshot-store.ts'
import { asLogIndex, asTerm, type SnapshotHeader } from '../../src/raft/types.ts'
import type { SimulatedDisk } from './simulated-disk.ts'

/** What a snapshot of this position contains; longer than a piece when `bytes` says so. */
export function contentOf(index: number, bytes = 300): Uint8Array {
  return new Uint8Array(bytes).map((_, at) => (at * 31 + index * 7 + (at >> 8)) & 0xff)
}

/** A view of a machine whose state is `contentOf`. */
export function sourceOf(disk: Disk, index: number, bytes?: number): SnapshotSource {
  return {
    applied: { index: asLogIndex(index), term: asTerm(3), configuration: Buffer.from(`c${index}`) },
    async writeTo(path) {
      const file = await disk.open(path, 'create')
      await file.write(contentOf(index, bytes), 0)
      await file.close()
    },
  }
}

/** As another node's store would describe it. */
export function headerOf(index: number, content: Uint8Array, mark = 'a'): SnapshotHeader {
  return {
    position: { index: asLogIndex(index), term: asTerm(3) },
    configuration: Buffer.from(`c${index}`),
    id: `${String(index).padStart(16, '0')}-${'3'.padStart(16, '0')}-${mark.repeat(8)}`,
    bytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  }
}

/** A store on this disk, and what it said about damage. */
export function storeOn(disk: SimulatedDisk, { retain = 2, room = 2 ** 40 } = {}) {
  const damage: string[] = []
  const store = new SnapshotStore({
    directory: '/raft/snapshots',
    retain,
    disk,
    roomBytes: async () => room,
    onDamage: words => damage.push(words),
  })
  return { store, damage }
}

/** All of it, in pieces of so many bytes. */
export async function receiveAll(
  store: SnapshotStore,
  header: SnapshotHeader,
  content: Uint8Array,
  pieceBytes = 100,
): Promise<void> {
  for (let offset = 0; offset < content.length; offset += pieceBytes) {
    await store.receive({ header, offset, bytes: content.subarray(offset, offset + pieceBytes) })
  }
}

/** What lies in the store's directory. */
export function namesOn(disk: SimulatedDisk): string[] {
  const inside = disk.paths().filter(path => path.startsWith('/raft/snapshots/'))
  return inside.map(path => path.slice('/raft/snapshots/'.length))
}

/** All pieces, as they are sent. */
export async function readAll(store: SnapshotStore, stored: StoredSnapshot): Promise<Uint8Array> {
  const file = await store.read(stored)
  const pieces: Uint8Array[] = []
  for (let at = 0; ; ) {
    const piece = await file.read(at)
    if (piece.length === 0) break
    pieces.push(piece)
    at += piece.length
  }
  await file.close()
  return Buffer.concat(pieces)
}

export function equalBytes(t: Test, actual: Uint8Array, expected: Uint8Array, label = 'bytes') {
  return t.equal(Buffer.compare(actual, expected), 0, label)
}
