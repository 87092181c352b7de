import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { encodeCommand } from '../../src/machine/kv/command.ts'
import { EventStream } from './event-stream.ts'
import { type Harness, serve } from './harness.ts'
import { request } from './raw-client.ts'

t.setTimeout(120_000)

/** A watch that ends with the test. */
function watch(t: Test, { tcp }: Harness, path = '', headers = {}): EventStream {
  const stream = new EventStream(tcp, `/v1/watch${path}`, headers)
  t.teardown(() => stream.close())
  return stream
}

async function until(what: string, check: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!check()) {
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`)
    await pause(5)
  }
}

const put = (harness: Harness, target: string, body = 'v') =>
  request(harness.tcp, `PUT /v1/kv/${target}`, { body })

const set = (key: string, value: string) => ({
  op: 'set',
  key,
  value: Buffer.from(value).toString('base64'),
  flags: 0,
})

t.test('one event an entry, of what lies below the prefix and was really changed', async t => {
  const harness = await serve(t)
  await put(harness, 'a/0')
  const stream = watch(t, harness, '?prefix=a/')
  await until('it begins', () => stream.events.length > 0)
  t.strictSame(stream.events[0], { id: '1', event: 'bookmark', data: '{"index":1}' })
  await put(harness, 'a/1?flags=7', 'one')
  await put(harness, 'b/1')
  await put(harness, 'a/1?cas=99', 'refused')
  await put(harness, 'a/1?flags=7', 'one')
  const body = '{"a/2":"two","b/2":"two","a/3":"three"}'
  await request(harness.tcp, 'POST /key', { body })
  await request(harness.tcp, 'DELETE /v1/kv/?recurse')
  await until('all came', () => stream.changes.length === 3)
  const gone = (key: string) => ({ op: 'delete', key })
  t.strictSame(stream.changes, [
    { index: 2, changes: [{ ...set('a/1', 'one'), flags: 7 }] },
    { index: 6, changes: [set('a/2', 'two'), set('a/3', 'three')] },
    { index: 7, changes: [gone('a/0'), gone('a/1'), gone('a/2'), gone('a/3')] },
  ])
  t.equal(stream.lastId, '7')
})

t.test('since and Last-Event-ID go on exactly behind what was seen', async t => {
  const harness = await serve(t)
  for (let n = 1; n <= 20; n++) await put(harness, `k${n}`)
  const indexes = async (path: string, headers = {}): Promise<number[]> => {
    const stream = watch(t, harness, path, headers)
    await until('it begins', () => stream.events.length > 0)
    await pause(20)
    return stream.changes.map(({ index }) => index)
  }
  t.strictSame(
    await indexes('?since=0'),
    Array.from({ length: 20 }, (_, at) => at + 1),
  )
  t.strictSame(await indexes('?since=17'), [18, 19, 20])
  t.strictSame(await indexes('?since=3', { 'Last-Event-ID': '19' }), [20], 'the header counts')
  t.strictSame(await indexes('?since=0&prefix=k2'), [2, 20])
  t.strictSame(await indexes('?since=50'), [], 'from a node that is ahead')
})

t.test('what is no longer kept is 410; what is no index 400; any other method 405', async t => {
  const harness = await serve(t)
  const { machine } = harness.node
  machine.changes.restart(100)
  const status = async (line: string, ...headers: string[]): Promise<number> =>
    (await request(harness.tcp, line, { headers })).status
  t.equal(await status('GET /v1/watch?since=99'), 410)
  t.equal(await status('GET /v1/watch', 'Last-Event-ID: 7'), 410)
  t.equal(await status('HEAD /v1/watch?since=100'), 200)
  for (const bad of ['9007199254740992', '-1', '1e3', 'x', '']) {
    t.equal(await status(`GET /v1/watch?since=${bad}`), 400, bad)
  }
  t.equal(await status('GET /v1/watch?prefix=a/../b'), 400)
  t.equal(await status('PUT /v1/watch'), 405)
})

t.test('a prefix is bytes, and so is a key that is no text', async t => {
  const harness = await serve(t)
  const stream = watch(t, harness, '?prefix=%FF')
  await until('it begins', () => stream.events.length > 0)
  await put(harness, '%FE', 'x')
  await put(harness, '%FF%FE', 'x')
  await until('it came', () => stream.changes.length === 1)
  t.match(stream.changes[0], { index: 2, changes: [{ keyBase64: '//4=', value: 'eA==' }] })
})

t.test('a watcher that does not read holds nothing up, and is dropped with the reason', async t => {
  const harness = await serve(t)
  const { node } = harness
  const [slow, quick] = [watch(t, harness), watch(t, harness)]
  await until('both begin', () => slow.events.length > 0 && quick.events.length > 0)
  slow.pause()
  const value = Buffer.alloc(256 * 1024, 'v')
  for (let n = 0; n < 200; n++) {
    const pairs = [{ key: Buffer.from(`k${n}`), value }]
    await node.propose(encodeCommand({ kind: 'set', pairs }))
    if (n % 10 === 0) await until('the quick one has it', () => quick.changes.length === n + 1)
  }
  await until('the quick one has all', () => quick.changes.length === 200)
  t.strictSame(
    quick.changes.map(({ index }) => index),
    Array.from({ length: 200 }, (_, at) => at + 1),
  )
  slow.resume()
  await until('the slow one ends', () => slow.ended)
  t.strictSame(slow.events.at(-1), { id: '', event: 'dropped', data: '{"reason":"compacted"}' })
  const seen = slow.changes.map(({ index }) => index)
  t.strictSame(
    seen,
    seen.map((_, at) => at + 1),
    'up to there without a gap',
  )
  t.equal(slow.lastId, String(seen.length))
})

t.test('the end of the server tells watchers, whose places are free again', async t => {
  const harness = await serve(t, { limits: { followersMax: 2 } })
  const streams = [watch(t, harness), watch(t, harness, '?prefix=x')]
  await until('they begin', () => streams.every(stream => stream.events.length > 0))
  t.equal((await request(harness.tcp, 'GET /v1/watch')).status, 429, 'attack 41')
  streams[1]?.close()
  await until('a place is free', () => harness.node.machine.changes.listening === 1)
  const closing = harness.http.close()
  await until('it ends', () => streams[0]?.ended === true)
  t.match(streams[0]?.events.at(-1), { event: 'dropped', data: '{"reason":"closing"}' })
  await closing
  t.equal(harness.node.machine.changes.listening, 0)
})

t.test(
  'a state that came otherwise: on with it where its history is known, else dropped',
  async t => {
    const harness = await serve(t)
    const { changes } = harness.node.machine
    const [stream, other] = [watch(t, harness), watch(t, harness, '?prefix=zz')]
    await until('they begin', () => stream.events.length > 0 && other.events.length > 0)
    const key = Buffer.from('k')
    const entry = {
      index: 40,
      changes: [{ key, value: key, flags: 0n, row: null }],
      sessions: false,
      lifetimes: [],
    }
    changes.restart(50, { since: 0, entries: [entry] })
    await until('it came', () => stream.changes.length === 1)
    t.match(stream.changes, [{ index: 40 }])
    t.notOk(other.ended)
    changes.restart(99)
    await until('both end', () => stream.ended && other.ended)
    t.match(stream.events.at(-1), { data: '{"reason":"compacted"}' })
  },
)

t.test('1,000 idle watchers cost a write nothing that can be measured', async t => {
  const harness = await serve(t)
  const { node } = harness
  const write = async (n: number): Promise<void> => {
    const pairs = [{ key: Buffer.from(`busy/${n}`), value: Buffer.from('v') }]
    await node.propose(encodeCommand({ kind: 'set', pairs }))
  }
  const cost = async (): Promise<number> => {
    const rounds: number[] = []
    for (let round = 0; round < 9; round++) {
      const began = performance.now()
      for (let n = 0; n < 500; n++) await write(n)
      rounds.push(((performance.now() - began) * 1000) / 500)
    }
    return Math.min(...rounds) // the machine may be busy with other things
  }
  await cost()
  const alone = await cost()
  const streams: EventStream[] = []
  while (streams.length < 1_000) {
    // Fewer than a listener lets wait at a time.
    for (let n = 0; n < 200; n++) streams.push(watch(t, harness, `?prefix=idle/${streams.length}/`))
    await until('all begin', () => streams.every(stream => stream.events.length > 0))
  }
  const watched = await cost()
  t.comment(`µs a write: alone ${alone.toFixed(1)}, with 1,000 idle watchers ${watched.toFixed(1)}`)
  t.ok(watched < alone * 2 + 20, 'not as if each of them were looked at')
  t.ok(streams.every(stream => stream.changes.length === 0))
})
