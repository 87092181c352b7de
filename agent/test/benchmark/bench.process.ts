import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ROOT } from '../../../scripts/lib/layout.ts'
import { childrenOf, commandLine, processIds } from '../../../scripts/lib/processes.ts'

const BENCH = join(ROOT, 'scripts/bench')

t.setTimeout(180_000)

const SHORT = 'disk,failover,rolling-restart,watchers'

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function bench(args: readonly string[]): Promise<Ended> {
  return new Promise(resolve => {
    const child = spawn(BENCH, [...args])
    const out = { stdout: '', stderr: '' }
    child.stdout.on('data', chunk => {
      out.stdout += chunk
    })
    child.stderr.on('data', chunk => {
      out.stderr += chunk
    })
    child.once('close', code => resolve({ code, ...out }))
  })
}

/** What runs with anything of this folder in its command line. */
function serversIn(folder: string): number[] {
  return processIds().filter(pid => pid !== process.pid && commandLine(pid).includes(`${folder}/`))
}

t.test('a small run ends with one object of figures, and leaves nothing behind', async t => {
  const data = mkdtempSync(join(tmpdir(), 'raft-nginx-bench-'))
  t.teardown(() => rmSync(data, { recursive: true, force: true }))
  const load = ['--loads', 'writes,linearizable-reads', '--concurrency', '8', '--keys', '200']
  const size = ['--seconds', '0.3', '--repetitions', '1', '--failovers', '1', '--scenarios', SHORT]
  const place = ['--data', data, '--base-port', '27100', '--etcd', '/nonexistent/etcd']
  const args = ['--targets', 'agent,agent-socket,etcd', ...load, ...size, ...place]
  const { code, stdout, stderr } = await bench([...args, '--json'])
  t.equal(code, 0, stderr)
  const report = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
  t.match(report.machine, { cores: Number, memoryGiB: Number, fdatasyncUs: Number })
  t.match(report.versions, { node: process.version, commit: String })
  const points = report.results.filter((result: { load?: string }) => result.load !== undefined)
  t.same(
    points.map((one: { load: string; target: string }) => `${one.load}/${one.target}`),
    [
      'writes/agent',
      'writes/agent-socket',
      'linearizable-reads/agent',
      'linearizable-reads/agent-socket',
    ],
  )
  for (const point of points) {
    t.equal(point.errors, 0, point.firstError)
    t.ok(point.perSecond > 0 && point.p99Ms >= point.p50Ms && point.serverCpuUs > 0)
  }
  const others = report.results.slice(points.length)
  const ours = { target: 'raft-nginx', times: 1 }
  t.match(
    others.filter(({ target }: { target: string }) => target !== 'disk'),
    [
      { ...ours, scenario: 'failover', unit: 'ms' },
      { ...ours, scenario: 'rolling-restart-gap', unit: 'ms' },
      { ...ours, scenario: 'rolling-restart-failed', unit: 'times' },
      { ...ours, scenario: 'rolling-restart-took', unit: 'ms' },
      { ...ours, scenario: 'watchers-p50', unit: 'ms' },
      { ...ours, scenario: 'watchers-p99', unit: 'ms' },
      { ...ours, scenario: 'watchers-cpu', unit: 'µs' },
    ],
  )
  t.same(report.failed, [])
  t.same(report.ratios, {}, 'nobody to compare with: no ratio')
  t.match(report.skipped, [{ what: 'etcd', reason: /nonexistent/ }])
  t.same(readdirSync(data), [], 'its data is gone')
  t.same(serversIn(data), [], 'and its servers')
})

t.test('Ctrl-C ends everything that was started', async t => {
  const data = mkdtempSync(join(tmpdir(), 'raft-nginx-bench-'))
  t.teardown(() => rmSync(data, { recursive: true, force: true }))
  const targets = ['--targets', 'agent,nginx-file', '--loads', 'local-reads', '--keys', '200']
  const place = ['--data', data, '--base-port', '27100', '--scenarios', '']
  const child = spawn(BENCH, [...targets, ...place, '--seconds', '30'], { detached: true })
  const { pid = 0 } = child
  let stderr = ''
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  const ended = once(child, 'close')
  const said = new Promise<string>(resolve => {
    child.stdout.once('data', () => resolve('the head'))
  })
  t.equal(await Promise.race([said, ended]), 'the head', stderr)
  let servers: number[] = []
  // three agents, four nginx with their workers, the generator
  while (servers.length < 12) {
    servers = childrenOf(pid).flatMap(each => [each, ...childrenOf(each)])
    await sleep(20)
  }
  process.kill(-pid, 'SIGINT')
  t.same(await ended, [130, null])
  // what was killed takes a moment; what was forgotten stays until this test's time is over
  while (servers.some(each => processIds().includes(each) && commandLine(each) !== ''))
    await sleep(20)
  t.same(readdirSync(data), [])
})

t.test('what cannot be run is said before anything starts', async t => {
  const { code, stderr } = await bench(['--targets', 'oracle'])
  t.equal(code, 2)
  t.match(stderr, /--targets: oracle is none of/)
})
