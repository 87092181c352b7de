import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { Attempt, Cluster, Member } from '../../../scripts/benchmark/cluster.ts'
import { measureDisk } from '../../../scripts/benchmark/scenarios/disk.ts'
import { memoryOf, parseRollup } from '../../../scripts/benchmark/scenarios/memory.ts'
import { measureRolling } from '../../../scripts/benchmark/scenarios/rolling-restart.ts'

t.test('memory is what the kernel says, in MiB', async t => {
  const text =
    '55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:    2048 kB\nPss:    1024 kB\nPss_Dirty: 5 kB\n'
  t.same(parseRollup(text), { rss: 2, pss: 1 })
  t.ok(Number.isNaN(parseRollup('').pss), 'what it does not say is no figure')
  const { rss, pss } = memoryOf(process.pid)
  t.ok(pss > 1 && rss >= pss)
})

t.test('the disk is asked for appends of several sizes', async t => {
  const samples = measureDisk(t.testdir(), 2)
  t.match(samples, [
    { scenario: 'disk-append-4k', target: 'disk', unit: '/s', repetition: 2 },
    { scenario: 'disk-append-64k' },
    { scenario: 'disk-append-1m' },
  ])
  t.ok(samples.every(({ value }) => value > 0))
})

/** A store of two members that each answer 200 while they run; an end takes effect at once. */
async function stub(t: Test): Promise<Cluster & { readonly ends: string[] }> {
  const ends: string[] = []
  const members = await Promise.all([0, 1].map(at => memberOf(t, at, ends)))
  const [first] = members
  if (first === undefined) throw new RangeError('two members')
  return {
    ...{ ends, members: () => members, leader: async () => first },
    aimAt: () => Promise.reject(new Error('nobody aims here')),
    ready: async () => undefined,
    stop: async () => undefined,
  }
}

async function memberOf(t: Test, at: number, ends: string[]): Promise<Member> {
  let runs = true
  const server = createServer((_, response) => {
    response.statusCode = runs ? 200 : 503
    response.end()
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}/`
  const ask = (): Attempt => ({ url, method: 'GET', headers: {}, body: null })
  return {
    ...{ pid: process.pid, port, write: ask, read: ask },
    end: async signal => {
      ends.push(`${at} ${signal}`)
      runs = false
    },
    startAgain: () => {
      runs = true
    },
  }
}

t.test('a rolling restart ends each member once while others are written to', async t => {
  const cluster = await stub(t)
  const { gapMs, written, tookMs } = await measureRolling(cluster)
  t.same(cluster.ends, ['0 SIGTERM', '1 SIGTERM'])
  t.ok(written > 0)
  t.ok(gapMs > 0 && gapMs < tookMs + 10_000)
})
