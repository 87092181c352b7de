import t from 'tap'
import { asLogIndex } from '../../src/raft/types.ts'
import { CHUNK_BYTES_MAX } from '../../src/transport/transport.ts'
import { contentOf } from '../log/snapshot-parts.ts'
import { DIRECTORY, follower, leader, Pair, peerAt } from './snapshot-pair.ts'

const sent = (ok: boolean) => ({ kind: 'snapshot-sent', to: follower, ok })

t.test('a snapshot arrives whole, and the core’s message behind it', async t => {
  const pair = await new Pair().open()
  pair.send()
  await pair.until(() => pair.posted.length > 0, 'sent')
  t.same(pair.posted, [sent(true)])
  const header = pair.from.store.newest()?.header
  if (header === undefined) throw new Error('nothing stored')
  t.match(pair.messages, [
    { kind: 'install-snapshot', from: leader, to: follower, term: 5, header },
  ])
  const file = pair.receiver.ready(header)
  t.equal(Buffer.compare(pair.to.disk.bytes(file ?? ''), contentOf(7, 1_000_000)), 0)
  t.equal(pair.receiver.ready({ ...header, bytes: 5 }), null, 'another header is not ready')
  t.equal(pair.carried, 1_000_000)
  t.match(pair.from.counters, { built: 1, sent: 1, failed: 0, bytesSent: 1_000_000 })
  t.match(pair.to.counters, { received: 1, failed: 0, bytesReceived: 1_000_000 })
  const begun = ['snapshot:begun', 'snapshot:written', 'snapshot:stored'] as const
  t.same(pair.from.reached, [...begun, ...pair.chunks.map(() => 'chunk:sent')])
  const pieces = Math.ceil(1_000_000 / CHUNK_BYTES_MAX)
  t.same(pair.to.reached, [...Array(pieces).fill('chunk:received'), 'transfer:whole'])
  t.equal(pair.released, 1)
  await pair.receiver.installed()
  t.equal(pair.receiver.ready(header), null)
  t.same(await pair.to.disk.list(DIRECTORY), [])
})

t.test('a stored snapshot is sent again if it is late enough, else one is built', async t => {
  const pair = await new Pair().open()
  for (const [atLeast, built] of [
    [1, 1],
    [7, 1],
    [8, 2],
  ] as const) {
    if (atLeast === 8) pair.applied = 9
    pair.posted.length = 0
    pair.send(atLeast)
    await pair.until(() => pair.posted.length > 0, 'sent')
    t.same(pair.posted, [sent(true)])
    t.equal(pair.from.counters.built, built)
  }
})

t.test('after a broken connection the transfer goes on where it was', async t => {
  const pair = await new Pair().open()
  pair.bytes = 20 * CHUNK_BYTES_MAX
  const { link } = pair
  let broken = 0
  pair.link = async chunk => {
    const lost = chunk.offset === 10 * CHUNK_BYTES_MAX && broken < 5
    if (!lost) return link(chunk)
    broken++
    // Once the piece arrives and only its answer is lost.
    if (broken === 3) await link(chunk)
    throw new Error('the connection broke')
  }
  pair.send()
  await pair.until(() => pair.posted.length > 0, 'sent')
  t.same(pair.posted, [sent(true)])
  t.equal(pair.carried <= pair.bytes + CHUNK_BYTES_MAX, true, `${pair.carried} of ${pair.bytes}`)
})

t.test('a later transfer goes on where one ended that was given up', async t => {
  const pair = await new Pair().open()
  pair.bytes = 20 * CHUNK_BYTES_MAX
  const { link } = pair
  let away = false
  pair.link = chunk => {
    away ||= chunk.offset >= 15 * CHUNK_BYTES_MAX
    return away ? Promise.reject(new Error('not connected')) : link(chunk)
  }
  pair.send()
  await pair.until(() => pair.posted.length > 0, 'given up')
  t.same(pair.posted, [sent(false)])
  t.match(pair.from.logger.lines.at(-1), /snapshot not sent: not connected/)
  const before = pair.carried
  pair.link = link
  pair.send()
  await pair.until(() => pair.posted.length > 1, 'sent')
  t.same(pair.posted, [sent(false), sent(true)])
  t.equal(pair.carried - before <= 6 * CHUNK_BYTES_MAX, true)
  t.equal(pair.from.counters.built, 1)
})

t.test(
  'it ends with the term, when another leads, and when the peer is removed or has caught up',
  async t => {
    const ends = [
      (pair: Pair) => {
        pair.from.state.term = 6
      },
      (pair: Pair) => {
        pair.from.state.role = { kind: 'follower', progress: new Map() }
      },
      (pair: Pair) => void pair.from.state.role.progress.clear(),
      // It has caught up by the log.
      (pair: Pair) => void pair.from.state.role.progress.set(follower, peerAt(7)),
    ]
    for (const end of ends) {
      const pair = await new Pair().open()
      const { link } = pair
      pair.link = chunk => {
        if (chunk.offset > 0) end(pair)
        return link(chunk)
      }
      pair.send()
      await pair.until(() => pair.posted.length > 0, 'ended')
      t.same(pair.posted, [sent(false)])
      t.same(pair.messages, [], 'no message of a former term')
      t.equal(pair.chunks.length, 3)
      t.match(pair.from.logger.lines.at(-1), /not needed from this node any more/)
      t.equal(pair.sender.sending(), null)
    }
  },
)

t.test('rqlite#2687 a peer that has stopped reading holds up no stop', async t => {
  const pair = await new Pair().open()
  pair.link = () => new Promise(() => {})
  pair.send()
  await pair.until(() => pair.chunks.length > 0, 'under way')
  t.equal(pair.sender.sending(), 7)
  await pair.sender.stop()
  t.same(pair.posted, [])
  pair.send()
  t.equal(pair.chunks.length, 1, 'nothing begins any more')
  t.equal(pair.clock.pending, 0, 'and no timer is left')
})

t.test('a build is given up when the node stops', async t => {
  const pair = await new Pair().open()
  let fail = (_error: Error) => {}
  pair.writeTo = () =>
    new Promise((_resolve, reject) => {
      fail = reject
    })
  pair.send()
  await pair.until(() => pair.from.reached.includes('snapshot:begun'), 'begun')
  t.equal(pair.sender.sending(), 7, 'the log behind it is kept')
  const stopped = pair.sender.stop()
  t.equal(pair.released, 1, 'the view lets go')
  fail(new Error('copy: given up'))
  await stopped
  t.same([pair.posted, await pair.from.disk.list(DIRECTORY)], [[], []])
})

t.test('a copy that comes near the end of the disk is given up', async t => {
  const pair = await new Pair().open()
  let fail = (_error: Error) => {}
  pair.writeTo = async (disk, file) => {
    await (await disk.open(file, 'create')).write(new Uint8Array(100), 0)
    pair.from.room = -1
    await new Promise((_resolve, reject) => {
      fail = reject
    })
  }
  pair.send()
  await pair.until(() => pair.released > 0, 'the view lets go')
  fail(new Error('copy: given up'))
  await pair.until(() => pair.posted.length > 0, 'told')
  t.same(pair.posted, [sent(false)])
  t.match(pair.from.logger.lines.at(-1), /not sent: no room for a snapshot/)
  t.same(await pair.from.disk.list(DIRECTORY), [])
})

t.test('asked anew, the former transfer ends and says nothing', async t => {
  const pair = await new Pair().open()
  const { link } = pair
  pair.link = () => new Promise(() => {})
  pair.send()
  await pair.until(() => pair.chunks.length > 0, 'under way')
  pair.link = link
  pair.from.state.term = 6
  pair.send()
  await pair.until(() => pair.posted.length > 0, 'sent')
  t.same(pair.posted, [sent(true)])
  t.match(pair.messages, [{ term: 6 }])
  pair.clock.advance(700_000)
  t.equal(pair.posted.length, 1)
})

t.test('the log behind a snapshot is kept until its peer goes on there', async t => {
  const pair = await new Pair().open()
  pair.send()
  await pair.until(() => pair.posted.length > 0, 'sent')
  t.equal(pair.sender.sending(), 7)
  pair.from.state.role.progress.set(follower, peerAt(7))
  t.equal(pair.sender.sending(), null)

  const silent = await new Pair().open()
  silent.send()
  await silent.until(() => silent.posted.length > 0, 'sent')
  silent.clock.advance(59_000)
  t.equal(silent.sender.sending(), 7)
  silent.clock.advance(2_000)
  t.equal(silent.sender.sending(), null, 'but not for ever')
})

t.test('a machine that has not come so far yet is a failure, told after a pause', async t => {
  const pair = await new Pair().open()
  pair.send(8)
  const began = pair.clock.now()
  await pair.until(() => pair.posted.length > 0, 'told')
  t.same(pair.posted, [sent(false)])
  t.equal(pair.clock.now() - began >= 1_000, true, 'the core would ask again at once')
  t.match(pair.from.logger.lines.at(-1), /the machine has not come to 8 yet/)
})

t.test('no more bytes a second than allowed', async t => {
  const pair = await new Pair(CHUNK_BYTES_MAX * 10).open()
  pair.bytes = 40 * CHUNK_BYTES_MAX
  await pair.builder.build()
  pair.link = async ({ header, offset, bytes }) => {
    const held = offset + bytes.length
    return held === header.bytes ? { kind: 'complete' } : { kind: 'held', bytes: held }
  }
  pair.send()
  const began = pair.clock.now()
  await pair.until(() => pair.posted.length > 0, 'sent')
  const seconds = (pair.clock.now() - began) / 1000
  t.equal(seconds >= 3.5 && seconds <= 4.5, true, `${seconds} s for four seconds' worth`)
})

t.test('over a thin line the pieces are smaller, and grow again with it', async t => {
  const pair = await new Pair().open()
  pair.bytes = 40 * CHUNK_BYTES_MAX
  await pair.builder.build()
  let msPerPiece = 0
  pair.link = async ({ header, offset, bytes }) => {
    const held = offset + bytes.length
    if (held === header.bytes) return { kind: 'complete' }
    if (held > pair.bytes / 4) msPerPiece = 400
    if (held > pair.bytes / 2) msPerPiece = 0
    const until = pair.clock.now() + msPerPiece
    await pair.until(() => pair.clock.now() >= until, 'taken')
    return { kind: 'held', bytes: held }
  }
  pair.send()
  await pair.until(() => pair.posted.length > 0, 'sent')
  t.same(pair.posted, [sent(true)])
  const sizes = new Set(pair.chunks.map(({ bytes }) => bytes.length))
  t.equal(sizes.has(64 * 1024) && !sizes.has(32 * 1024), true)
  const inTheEnd = pair.chunks.slice(-8).map(({ bytes }) => bytes.length)
  t.same(new Set(inTheEnd), new Set([CHUNK_BYTES_MAX]))
})

t.test('a damaged snapshot is not sent, and another is built', async t => {
  const pair = await new Pair().open()
  pair.bytes = 3 * CHUNK_BYTES_MAX
  const stored = await pair.builder.build()
  const bytes = pair.from.disk.bytes(stored.file)
  const at = 2 * CHUNK_BYTES_MAX + 5
  bytes[at] = (bytes[at] ?? 0) ^ 4
  pair.from.disk.replace(stored.file, bytes)
  pair.send()
  await pair.until(() => pair.posted.length > 0, 'found')
  t.same(pair.posted, [sent(false)])
  t.match(pair.from.logger.lines.at(-1), /damaged at 524288 to 786432/)
  t.equal(
    pair.chunks.every(({ offset }) => offset < 2 * CHUNK_BYTES_MAX),
    true,
  )
  pair.send()
  await pair.until(() => pair.posted.length > 1, 'sent')
  t.same(pair.posted.at(-1), sent(true))
  t.equal(pair.from.counters.built, 2)
})

t.test('a peer that answers nonsense is given up', async t => {
  for (const [bytes, why] of [
    [asLogIndex(0), /comes no further than 0 of/],
    [2_000_000, /more than there is/],
    [1_000_000, /holds all of it, and does not take it/],
  ] as const) {
    const pair = await new Pair().open()
    pair.link = async () => ({ kind: 'held', bytes })
    pair.send()
    await pair.until(() => pair.posted.length > 0, 'given up')
    t.same(pair.posted, [sent(false)])
    t.match(pair.from.logger.lines.at(-1), why)
    t.equal(pair.chunks.length < 20, true)
  }
})
