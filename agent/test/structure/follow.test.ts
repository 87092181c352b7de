import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Companion, type Tree } from '../../src/structure/companion.ts'
import { type Agent, follow, keepReporting, PACE } from '../../src/structure/follow.ts'
import { ReleaseStore } from '../../src/structure/release-store.ts'

/** One that has an index that the test moves, and says so at once. */
class FakeAgent implements Agent {
  index = 1
  down = false
  readonly reports: string[] = []
  readonly signal: AbortSignal

  constructor(signal: AbortSignal) {
    this.signal = signal
  }

  async tree(after: number | null, waitMs: number): Promise<Tree> {
    const deadline = performance.now() + waitMs
    do {
      if (this.down) throw new Error('connection refused')
      if (this.index !== after) break
      await sleep(2)
    } while (performance.now() < deadline && !this.signal.aborted)
    const value = Buffer.from(`text ${this.index}`)
    return { index: this.index, rows: [{ key: 'nginx/files/a', value }] }
  }

  async report({ state, index }: { state: string; index: number | null }): Promise<void> {
    if (this.down) throw new Error('connection refused')
    this.reports.push(`${state} ${index}`)
  }
}

async function until(what: string, check: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!check()) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`)
    await sleep(2)
  }
}

async function started(t: Test, draining = () => 0) {
  const directory = mkdtempSync(join(tmpdir(), 'follow-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const state = join(directory, 'state')
  let reloads = 0
  let change = (): void => {}
  const companion = new Companion({
    prefix: () => 'nginx/',
    store: new ReleaseStore(state, join(directory, 'link')),
    nginx: {
      check: async () => ({ kind: 'passed', warning: null }),
      reload: async () => {
        reloads++
        return { kind: 'took' }
      },
      tell: () => {},
      master: () => 1,
    },
    link: 'link',
    now: () => 0,
    reach: () => {},
    onChange: () => change(),
  })
  await companion.open()
  const end = new AbortController()
  const agent = new FakeAgent(end.signal)
  const pace = { ...PACE, batchMs: 20, intervalMs: 20, retryMs: 20, reportMs: 20 }
  const said: string[] = []
  const options = {
    ...{ companion, agent, pace, draining, signal: end.signal },
    say: (line: string) => said.push(line),
  }
  const changed = () =>
    new Promise<void>(resolve => {
      change = resolve
    })
  const running = Promise.all([follow(options), keepReporting({ ...options, changed })])
  t.teardown(async () => {
    end.abort()
    await running
  })
  return { state, companion, agent, said, reloads: () => reloads }
}

t.test('changes are followed and told, and an agent that is down costs nothing', async t => {
  const { companion, agent, said, reloads } = await started(t)
  const runs = (index: number) => () =>
    companion.report().state === 'ok' && companion.report().index === index
  await until('the first', runs(1))
  agent.index = 5
  await until('the next', runs(5))
  await until('it is told', () => agent.reports.at(-1) === 'ok 5')
  agent.down = true
  await until('it says so', () => companion.report().state === 'blocked')
  t.match(companion.report(), { index: 5, error: /connection refused/ })
  await until('and in its log', () => said.length > 0)
  agent.down = false
  await until('it is well again', runs(5))
  t.equal(reloads(), 2, 'without another reload')
  t.equal(said.length, 1, 'once')
})

t.test('a disk that fails is told, and tried again', async t => {
  const { state, companion, agent, reloads } = await started(t)
  await until('the first', () => companion.report().index === 1)
  renameSync(join(state, 'releases'), join(state, 'elsewhere'))
  writeFileSync(join(state, 'releases'), '')
  agent.index = 2
  await until('it says so', () => /not written: /.test(companion.report().error ?? ''))
  t.match(companion.report(), { state: 'blocked', index: 1 })
  rmSync(join(state, 'releases'))
  renameSync(join(state, 'elsewhere'), join(state, 'releases'))
  await until('the second', () => companion.report().index === 2)
  t.equal(reloads(), 2)
})

t.test('no reload while too many old workers have clients', async t => {
  let old = 0
  const { companion, agent, reloads } = await started(t, () => old)
  await until('the first', () => companion.report().index === 1)
  old = PACE.drainingMax
  agent.index = 2
  await until('it says why', () => /old workers/.test(companion.report().error ?? ''))
  for (let index = 3; index <= 9; index++) {
    agent.index = index
    await sleep(5)
  }
  t.match(companion.report(), { state: 'pending', index: 1 })
  t.equal(reloads(), 1)
  old = 0
  await until('the newest', () => companion.report().index === 9)
  t.equal(reloads(), 2, 'at once')
})
