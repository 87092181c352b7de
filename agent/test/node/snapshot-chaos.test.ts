import t from 'tap'
import { Prng } from '../../src/lib/prng.ts'
import { CHUNK_BYTES_MAX, type SnapshotChunk } from '../../src/transport/transport.ts'
import { contentOf, headerOf } from '../log/snapshot-parts.ts'
import { drawSeed } from '../machine/entries.ts'
import { leader, Pair } from './snapshot-pair.ts'

const RUNS = 40

/** What the links of all runs did. */
const done = { lost: 0, unanswered: 0, doubled: 0, stale: 0, replaced: 0 }

/** A link on which pieces are lost, doubled and late, and another snapshot comes between. */
function disturb(pair: Pair, prng: Prng): void {
  const { link } = pair
  const other = headerOf(9, contentOf(9), 'b')
  const carried: SnapshotChunk[] = []
  pair.link = async chunk => {
    carried.push(chunk)
    const stale = carried[prng.between(0, carried.length)]
    switch (prng.between(0, 16)) {
      case 0:
        done.lost++
        throw new Error('lost')
      case 1:
        done.unanswered++
        await link(chunk)
        throw new Error('its answer is lost')
      case 2:
        done.doubled++
        return (await Promise.all([link(chunk), link(chunk)]))[prng.between(0, 2)] ?? link(chunk)
      case 3:
        done.stale++
        if (stale !== undefined) await link(stale)
        return link(chunk)
      case 4:
        done.replaced++
        await link({ header: other, offset: 0, bytes: contentOf(9).subarray(0, 50) })
        return link(chunk)
      default:
        return link(chunk)
    }
  }
}

t.test('whatever the link does, what arrives in the end is the snapshot', async t => {
  const seed = drawSeed(t)
  for (let run = 0; run < RUNS; run++) {
    const prng = new Prng(seed + run)
    const pair = await new Pair().open()
    pair.bytes = prng.between(1, 10 * CHUNK_BYTES_MAX)
    disturb(pair, prng)
    do {
      pair.posted.length = 0
      pair.send()
      await pair.until(() => pair.posted.length > 0, `run ${run}: told`)
    } while (JSON.stringify(pair.posted).includes('false'))
    const header = pair.from.store.newest()?.header
    if (header === undefined) throw new Error('nothing stored')
    const file = pair.receiver.ready(header)
    const bytes = pair.to.disk.bytes(file ?? '/')
    const same = Buffer.compare(bytes, contentOf(7, pair.bytes)) === 0
    t.equal(same, true, `run ${run}: ${pair.bytes} bytes, ${pair.chunks.length} pieces`)
    t.equal(pair.messages.length, 1)
    t.match(await pair.receiver.onChunk(leader, { header, offset: 0, bytes: new Uint8Array(0) }), {
      kind: 'complete',
    })
  }
  for (const [what, times] of Object.entries(done)) t.ok(times > 0, `${what}: ${times}`)
})
