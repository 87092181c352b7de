import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseEndpoint } from '../../src/cli/endpoint.ts'
import { LocalAgent } from '../../src/cli/structure-agent.ts'
import { run, speaker } from './harness.ts'

const REPORT = { state: 'ok', index: 7, tried: 7, error: null, warning: null, since: 0 } as const
const ROWS = JSON.stringify([{ Key: 'nginx/files/a', Value: 'MQ==', ModifyIndex: 5 }])
const INDEX = { 'X-Consul-Index': '8', 'X-Raft-Index': '8' }

t.test(
  'a companion takes no keys unless its agent agrees, before and after it was shown them',
  async t => {
    let agrees = false
    const agent = await speaker(t, ({ line }, answer) => {
      if (line.startsWith('GET')) answer(200, ROWS, INDEX)
      else if (agrees) answer(200, '{"prefix":"nginx/"}')
      else answer(409, '{"code":"STRUCTURE_OFF","detail":"it is off here"}')
    })
    const { signal } = new AbortController()
    const local = new LocalAgent({ endpoint: parseEndpoint(agent.name), signal })
    await t.rejects(local.report(REPORT), /off here/)
    await t.rejects(local.tree(null, 0), /off here/)
    agrees = true
    await local.report(REPORT)
    await local.agreed
    const tree = await local.tree(null, 0)
    t.match(tree, { index: 8, rows: [{ key: 'nginx/files/a', value: Buffer.from('1') }] })
    agrees = false
    // It may have been shown a part only.
    await t.rejects(local.tree(null, 0), /off here/)
  },
)

t.test('a companion shows its token with all that it asks', async t => {
  const agent = await speaker(t, ({ line, headers }, answer) => {
    if (headers['x-consul-token'] !== 'secret')
      answer(401, '{"code":"TOKEN_NEEDED","detail":"whose?"}')
    else if (line.startsWith('GET')) answer(200, ROWS, INDEX)
    else answer(200, '{"prefix":"nginx/"}')
  })
  const { signal } = new AbortController()
  const withToken = (token: string | null) =>
    new LocalAgent({ endpoint: parseEndpoint(agent.name, token), signal })
  await t.rejects(withToken(null).report(REPORT), /whose/)
  const local = withToken('secret')
  await local.report(REPORT)
  t.match(await local.tree(null, 0), { index: 8 })
})

t.test(
  'the companion command takes its token out of the environment, and out of a file',
  async t => {
    const directory = t.testdir({ token: 'secret\n', nginx: { 'nginx.conf': '' } })
    const seen = async (given: readonly string[], env: Record<string, string>) => {
      const agent = await speaker(t, (_, answer) => answer(401, '{"detail":"whose?"}'))
      const told = new AbortController()
      const dir = join(directory, `releases${given.length}`)
      const main = join(directory, 'nginx/nginx.conf')
      const places = ['--dir', dir, '--main', main, '--nginx', '/bin/true']
      const running = run(['-e', agent.name, ...given, 'companion', ...places], {
        env,
        interrupted: told.signal,
      })
      while (agent.seen.length === 0) await new Promise(setImmediate)
      told.abort()
      await running
      return agent.seen[0]?.headers['x-consul-token']
    }
    t.equal(await seen([], { RAFT_NGINX_TOKEN: 'secret' }), 'secret')
    t.equal(await seen(['--token-file', join(directory, 'token')], {}), 'secret')
  },
)

t.test('push: what is wrong is said before anything is written', async t => {
  const structure = { ...REPORT, prefix: 'nginx/', toldMs: 0 }
  const members = [{ id: 'node0', address: '', role: 'voter' }]
  let on = false
  const agent = await speaker(t, ({ line }, answer) => {
    const me = { me: { id: 'node0' }, members, structure: on ? structure : null }
    if (line === 'GET /status') answer(200, JSON.stringify(me))
    else if (line.startsWith('GET /v1/kv/')) answer(200, ROWS, INDEX)
    else answer(200, '{"Results":[],"Errors":null}', INDEX)
  })
  const directory = t.testdir({ files: { a: '1' }, '.git': { config: '' } })
  symlinkSync('/nowhere', join(directory, 'broken'))
  const push = (...more: string[]) =>
    run(['-e', agent.name, 'structure', 'push', directory, ...more])
  const off = await push()
  t.equal(off.code, 1)
  t.match(off.stderr, /structure\.enabled is false/)
  on = true
  const late = await push('--wait', '--within', '0.3')
  t.equal(late.code, 3, 'this node runs 7, and the tree is at 8')
  t.match(late.stdout, /node0 +ok 7/)
})

t.test('push: changes, their limit, and what a directory may be', async t => {
  const structure = { ...REPORT, index: 8, tried: 8, prefix: 'nginx/', toldMs: 0 }
  const members = [{ id: 'node0', address: '', role: 'voter' }]
  let conflict = false
  const agent = await speaker(t, ({ line }, answer) => {
    if (line === 'GET /status') {
      answer(200, JSON.stringify({ me: { id: 'node0' }, members, structure }))
    } else if (line.startsWith('GET /v1/kv/')) answer(200, ROWS, INDEX)
    else if (conflict) answer(409, '{"Results":null,"Errors":[]}')
    else answer(200, '{"Results":[],"Errors":null}', INDEX)
  })
  const directory = t.testdir({ files: { a: '2' } })
  const push = (...more: string[]) =>
    run(['-e', agent.name, 'structure', 'push', directory, ...more])
  const written = () => agent.seen.filter(({ line }) => line === 'PUT /v1/txn')
  const dry = await push('--dry-run')
  t.match(dry, { code: 0, stdout: 'set nginx/files/a\n' })
  t.equal(written().length, 0)
  const done = await push('--wait')
  t.match(done, { code: 0, stdout: /node0 +ok 8/ })
  t.strictSame(JSON.parse(written()[0]?.body ?? ''), [
    { KV: { Verb: 'cas', Key: 'nginx/files/a', Index: 5, Value: 'Mg==' } },
  ])
  conflict = true
  t.match(await push(), { code: 1, stderr: /somebody else/ })
  for (let at = 0; at < 128; at++) writeFileSync(join(directory, `files/${at}`), '')
  t.match(await push(), { code: 1, stderr: /129 changes: a transaction has at most 128/ })
  mkdirSync(join(directory, 'conf.d'))
  writeFileSync(join(directory, 'conf.d/a.conf'), '')
  t.match(await push(), { code: 1, stderr: /nginx\/conf\.d\/a\.conf: is in none of the folders/ })
  t.match(await run(['structure', 'check', directory]), { code: 1, stderr: /none of the folders/ })
  t.match(await run(['structure', 'check', join(directory, 'nothing')]), { code: 1 })
  t.equal(written().length, 2)
})
