/** What may happen to nginx's memory and to whoever fills it: never a wrong answer, and it comes back by itself. */

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type Batch, FORMAT } from '../../../agent/src/gateway/edge-batch.ts'
import { type EdgeFleet, EPOCH, servedBy, startEdgeFleet } from './edge-fleet.ts'
import { asAgent } from './edge-reads.ts'
import { until } from './fleet.ts'

export function edgeHazards(t: Test): void {
  batches(t)
  nginxHazards(t)
  agentHazards(t)
  sizes(t)
}

type Told = Partial<Batch> & Pick<Batch, 'kind' | 'from' | 'to'>

/** By hand, in the filler's place. */
async function tell(fleet: EdgeFleet, told: Told): Promise<number> {
  const sender = { epoch: EPOCH, node: 'node0', only: [] }
  const unsaid = { copy: 'c', part: 0, more: false, knownAt: Date.now(), open: null, ops: [] }
  const batch: Batch = { format: FORMAT, ...sender, ...unsaid, ...told }
  const answer = await fleet.client().post(JSON.stringify(batch))
  if (answer.kind !== 'answer') throw new Error(`no answer: ${answer.kind}`)
  return answer.status
}

async function edgeOnly(t: Test): Promise<EdgeFleet> {
  const fleet = await startEdgeFleet(t)
  fleet.local.behaviour = asAgent
  await fleet.filler().stop()
  return fleet
}

function batches(t: Test): void {
  t.test('nothing is served while a copy is unfinished', async t => {
    const fleet = await edgeOnly(t)
    const reader = async () => servedBy(await fleet.read('a'))
    t.equal(await reader(), 'nginx')
    t.equal(await tell(fleet, { kind: 'reset', from: 7, to: 7 }), 200)
    t.equal(await reader(), 'agent')
    const ops = [['a', 'u\none']] as const
    t.equal(await tell(fleet, { kind: 'fill', from: 7, to: 7, part: 1, ops }), 200)
    t.equal(await reader(), 'agent')
    t.equal(
      await tell(fleet, { kind: 'fill', from: 7, to: 7, part: 3, ops }),
      409,
      'one is missing',
    )
    t.equal(
      await tell(fleet, { kind: 'fill', from: 7, to: 7, part: 2, copy: 'd' }),
      409,
      'of another',
    )
    t.equal(await tell(fleet, { kind: 'delta', from: 7, to: 8 }), 409, 'no delta on a half')
    t.equal(await tell(fleet, { kind: 'fill', from: 7, to: 7, part: 1, ops }), 200, 'once more')
    t.equal(await reader(), 'agent')
    t.equal(await tell(fleet, { kind: 'last', from: 7, to: 9, part: 2 }), 200)
    const answer = await fleet.read('a')
    t.equal(answer.body, '{"a":"one"}')
    t.equal(answer.headers.get('x-raft-index'), '9')
  })

  t.test('only what follows on is taken', async t => {
    const fleet = await edgeOnly(t)
    t.equal(await tell(fleet, { kind: 'reset', from: 7, to: 7 }), 200)
    t.equal(await tell(fleet, { kind: 'last', from: 7, to: 7, part: 1 }), 200)
    const ops = [['a', 'u\nnew']] as const
    t.equal(await tell(fleet, { kind: 'delta', from: 8, to: 9, ops }), 409, 'a gap')
    t.equal(await tell(fleet, { kind: 'delta', from: 6, to: 9, ops }), 409, 'an overlap')
    t.equal(
      await tell(fleet, { kind: 'delta', from: 7, to: 9, epoch: 'x', ops }),
      409,
      'another history',
    )
    t.equal(await tell(fleet, { kind: 'delta', from: 7, to: 9, format: 2 as 4, ops }), 409)
    t.equal((await fleet.read('a')).body, '{"a":""}', 'nothing of it is here')
    t.equal(await tell(fleet, { kind: 'delta', from: 7, to: 9, ops, more: true }), 200)
    t.equal(servedBy(await fleet.read('a')), 'agent', 'between two entries')
    t.equal(await tell(fleet, { kind: 'delta', from: 7, to: 8, ops }), 409, 'shorter than begun')
    t.equal(await tell(fleet, { kind: 'delta', from: 7, to: 9, ops: [['b', 'u\nx']] }), 200)
    t.equal((await fleet.read('a')).body, '{"a":"new"}')
    const junk = await fleet.client().post('{"kind":')
    t.match(junk, { kind: 'answer', status: 400 })
    t.equal((await fleet.read('a')).body, '{"a":"new"}')
  })

  t.test('the way in is not to be had from outside', async t => {
    const fleet = await startEdgeFleet(t)
    const before = fleet.arrived()
    for (const target of ['/apply', '/raft_edge', '/@raft_edge', '/_raft/apply']) {
      const answer = await fetch(`http://127.0.0.1:${fleet.port}${target}`, {
        method: 'POST',
        body: '{}',
      })
      t.equal(answer.status, 404, target)
    }
    t.equal(fleet.arrived(), before)
    const bytes = readFileSync('/proc/net/tcp', 'utf8')
    t.notMatch(bytes, fleet.socket, 'a unix socket only')
  })
}

function nginxHazards(t: Test): void {
  t.test('nginx restarted: its memory is empty, and filled again', async t => {
    const fleet = await startEdgeFleet(t)
    fleet.local.behaviour = asAgent
    fill(fleet, 700)
    await fleet.settled()
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const { copies } = fleet.filler().status()
      await fleet.restartNginx(signal)
      await until('it was copied', () => fleet.filler().status().copies > copies)
      await fleet.settled()
      await check(t, fleet, signal)
    }
  })

  t.test('nginx reloaded, or a worker killed: its memory stays', async t => {
    const fleet = await startEdgeFleet(t)
    fill(fleet, 700)
    await fleet.settled()
    const { copies } = fleet.filler().status()
    await fleet.nginx.reload()
    await check(t, fleet, 'reload')
    const before = workers(fleet)
    t.equal(before.length, 2)
    for (const worker of before) process.kill(worker, 'SIGKILL')
    await until('there are others', () => workers(fleet).length === 2)
    fleet.store.write(['more', 'after'])
    await fleet.settled()
    await check(t, fleet, 'killed workers')
    t.equal(fleet.filler().status().copies, copies, 'without another copy')
  })

  t.test('the memory’s size changed: it is emptied, and filled again', async t => {
    const fleet = await startEdgeFleet(t)
    fleet.local.behaviour = asAgent
    fill(fleet, 700)
    await fleet.settled()
    const { copies } = fleet.filler().status()
    t.equal(await fleet.render('--edge-reads', '5m'), 0)
    await fleet.nginx.reload()
    await until('it was copied', () => fleet.filler().status().copies > copies)
    await fleet.settled()
    await check(t, fleet, 'resized')
  })

  t.test('workers that do not answer: nginx counts as stuck, then all goes on', async t => {
    const fleet = await startEdgeFleet(t)
    fill(fleet, 20)
    await fleet.settled()
    const held = workers(fleet)
    for (const worker of held) process.kill(worker, 'SIGSTOP')
    for (let at = 0; at < 5; at++) fleet.store.write([`late${at}`, 'x'])
    await until('it is seen', () => fleet.filler().status().state === 'stuck')
    for (const worker of held) process.kill(worker, 'SIGCONT')
    await fleet.settled()
    await check(t, fleet, 'resumed')
  })

  t.test('a worker held up while another goes on writes nothing old', async t => {
    const fleet = await startEdgeFleet(t)
    fill(fleet, 20)
    await fleet.settled()
    for (let round = 0; round < 3; round++) {
      for (const worker of workers(fleet)) {
        process.kill(worker, 'SIGSTOP')
        for (let at = 0; at < 50; at++) {
          fleet.store.write(['same', `${round} ${worker} ${at}`])
          await sleep(25)
        }
        process.kill(worker, 'SIGCONT')
        await fleet.settled()
        await check(t, fleet, `worker ${worker}`)
      }
    }
  })
}

function agentHazards(t: Test): void {
  t.test('the agent restarted: what is there is gone on with', async t => {
    const fleet = await startEdgeFleet(t)
    fill(fleet, 50)
    await fleet.settled()
    fleet.store.forget()
    await fleet.restartAgent()
    await fleet.settled()
    t.equal(fleet.filler().status().copies, 0, 'nothing has happened meanwhile')
    fleet.store.write(['more', 'x'])
    await fleet.restartAgent()
    await fleet.settled()
    t.equal(fleet.filler().status().copies, 0, 'all that has happened can be told')
    await check(t, fleet, 'gone on with')
  })

  t.test('the agent restarted, and cannot tell what happened: a copy', async t => {
    const fleet = await startEdgeFleet(t)
    fill(fleet, 50)
    await fleet.settled()
    await fleet.filler().stop()
    fleet.store.write(['key1', null], ['more', 'x'])
    fleet.store.forget()
    await fleet.restartAgent()
    await fleet.settled()
    t.equal(fleet.filler().status().copies, 1)
    await check(t, fleet, 'copied')
  })

  t.test('an agent of another history: a copy, though the numbers fit', async t => {
    const fleet = await startEdgeFleet(t)
    fill(fleet, 50)
    await fleet.settled()
    await fleet.filler().stop()
    fleet.store.rows.delete('key1')
    await fleet.restartAgent('1 another-history')
    await fleet.settled()
    t.equal(fleet.filler().status().copies, 1)
    await check(t, fleet, 'of the other')
  })

  t.test('changes that were dropped before they were sent: a copy', async t => {
    const fleet = await startEdgeFleet(t)
    fill(fleet, 50)
    await fleet.settled()
    fleet.store.write(['lost', 'x'])
    fleet.store.forget()
    await fleet.settled()
    t.equal((await fleet.read('lost')).body, '{"lost":"x"}')
    await check(t, fleet, 'copied')
  })

  t.test('a copy while everything changes', async t => {
    const fleet = await startEdgeFleet(t)
    fill(fleet, 1_500)
    const { store } = fleet
    let stop = false
    const writer = (async () => {
      for (let at = 0; !stop; at++) {
        const key = `key${(at * 37) % 1_500}`
        store.write([key, at % 5 === 0 ? null : `changed ${at}`], [`new${at}`, 'x'])
        if (at % 20 === 0) await sleep(1)
      }
    })()
    await fleet.restartAgent('1 yet-another-history')
    await until('it was copied', () => fleet.filler().status().state === 'following')
    stop = true
    await writer
    await fleet.settled()
    await check(t, fleet, 'changed under the copy')
  })
}

function sizes(t: Test): void {
  t.test('an entry of many keys is seen whole', async t => {
    const fleet = await startEdgeFleet(t)
    const keys = Array.from({ length: 3_500 }, (_, at) => `many${at}`)
    fleet.store.write(...keys.map(key => [key, 'x'.repeat(20)] as const))
    fleet.store.write(...keys.map(key => [key, 'y'.repeat(20)] as const))
    await fleet.settled()
    await check(t, fleet, 'many')
  })

  t.test('a value as long as values may be', async t => {
    const fleet = await startEdgeFleet(t)
    const value = `\u0001€${'x'.repeat(524_280)}`
    fleet.store.write(['long', value], ['control', '\u0001'.repeat(100_000)])
    await fleet.settled()
    const answer = await fleet.read('long')
    t.equal(servedBy(answer), 'nginx')
    t.ok(
      Buffer.from(answer.body, 'latin1').toString('utf8') === `{"long":${JSON.stringify(value)}}`,
    )
    t.equal((await fleet.read('control')).body.length, 100_000 * 6 + 14)
  })

  t.test('full: nothing is served from there, until it fits again', async t => {
    const fleet = await startEdgeFleet(t, '--edge-reads', '1m')
    fleet.local.behaviour = asAgent
    fill(fleet, 20)
    await fleet.settled()
    t.equal(servedBy(await fleet.read('key1')), 'nginx')
    const large = Array.from({ length: 10 }, (_, at) => `large${at}`)
    fleet.store.write(...large.map(key => [key, 'x'.repeat(200_000)] as const))
    await until('it is full', () => fleet.filler().status().state === 'full')
    t.equal(servedBy(await fleet.read('key1')), 'agent')
    fleet.store.write(...large.map(key => [key, null] as const))
    await until('it fits again', () => fleet.filler().status().state === 'following')
    await fleet.settled()
    await check(t, fleet, 'fits again')
  })
}

/** Those that serve, without the processes that look after nginx's cache. */
function workers(fleet: EdgeFleet): number[] {
  const title = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  return fleet.nginx.workers().filter(pid => title(pid).includes('worker process'))
}

function fill(fleet: EdgeFleet, count: number): void {
  const pairs = Array.from({ length: count }, (_, at) => [`key${at}`, `value ${at}`] as const)
  fleet.store.write(...pairs)
}

/** Reads all there is, and some that is not. */
async function check(t: Test, fleet: EdgeFleet, what: string): Promise<void> {
  const keys = [...fleet.store.rows.keys()]
  const step = Math.max(1, Math.floor(keys.length / 100))
  const wrong: string[] = []
  const names = ['key0', 'key1', 'nothing', ...keys.filter((_, at) => at % step === 0)]
  for (const name of names) {
    const value = Buffer.from(fleet.store.rows.get(name)?.value ?? '').toString('utf8')
    const answer = await fleet.read(name)
    const right = answer.body === JSON.stringify({ [name]: value })
    if (!right || servedBy(answer) !== 'nginx') wrong.push(`${name}: ${answer.text}`)
  }
  t.strictSame(wrong, [], `${what}: ${names.length} keys are as they should be`)
}
