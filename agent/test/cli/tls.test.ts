import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { asNodeId } from '../../src/raft/types.ts'
import { readCredentials } from '../../src/tls/credentials.ts'
import { run } from './harness.ts'

const holder = (nodeId: string, clusterId = 'edge') => ({ clusterId, nodeId: asNodeId(nodeId) })

t.test('tls init makes what agents take, and does it once', async t => {
  const dir = join(t.testdir(), 'tls')
  const args = [
    'tls',
    'init',
    '--dir',
    dir,
    '--cluster-name',
    'edge',
    '--nodes',
    'a,b',
    '--days',
    '30',
  ]
  const first = await run(args)
  t.equal(first.code, 0, first.stderr)
  t.match(first.stdout, /ca\.pem {2}CA of cluster edge\n.*a\.pem {2}a, good for 30 days\n.*b\.pem/)
  t.strictSame(readdirSync(dir), ['a.key', 'a.pem', 'b.key', 'b.pem', 'ca.key', 'ca.pem'])
  for (const name of ['a.key', 'b.key', 'ca.key']) {
    t.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name)
  }
  t.equal(statSync(dir).mode & 0o777, 0o700)
  const files = (node: string) => ({
    kind: 'certificates' as const,
    ca: join(dir, 'ca.pem'),
    cert: join(dir, `${node}.pem`),
    key: join(dir, `${node}.key`),
  })
  for (const node of ['a', 'b'])
    t.equal(readCredentials(files(node), holder(node)).kind, 'certificates')
  t.throws(() => readCredentials(files('a'), holder('a', 'other')), /not for this node/)
  const before = readdirSync(dir).map(name => readFileSync(join(dir, name), 'utf8'))
  const again = await run(args)
  t.match([again.code, again.stdout], [0, /a has a certificate already.*\nb has/])
  t.strictSame(
    readdirSync(dir).map(name => readFileSync(join(dir, name), 'utf8')),
    before,
  )
  const added = await run(['tls', 'add', 'c', 'a', '--dir', dir])
  t.match([added.code, added.stdout], [0, /c\.pem {2}c, good for 365 days\na has/])
  t.equal(readCredentials(files('c'), holder('c')).kind, 'certificates')
  const other = await run(['tls', 'init', '--dir', dir, '--cluster-name', 'x', '--nodes', 'd'])
  t.match([other.code, other.stderr], [1, /the CA in .* is for cluster edge, not x/])
  const show = await run(['tls', 'show', '--dir', dir])
  t.match(show.stdout, /a\.pem +CN=a +URI:raft-nginx:\/\/edge\/a +\d{4}-\d\d-\d\d +(29|30) days/)
  const json = await run(['--json', 'tls', 'show', join(dir, 'b.pem')])
  t.match(JSON.parse(json.stdout), [{ subject: 'CN=b', names: 'URI:raft-nginx://edge/b' }])
  rmSync(join(dir, 'b.pem'))
  const half = await run(args)
  t.match([half.code, half.stderr], [1, /belong together, and only .*b\.key is there/])
})

t.test(
  'tls init reads cluster, nodes and addresses from a configuration that lacks only this',
  async t => {
    const directory = t.testdir()
    const file = join(directory, 'agent.json')
    const nodes = ['n0', 'n1'].map((id, at) => ({
      id,
      address: `10.0.0.${at}:8185`,
      raft_bind: `${id}.example:8186`,
    }))
    const put = (more: object) =>
      writeFileSync(file, JSON.stringify({ cluster_name: 'c', node_id: 'n0', nodes, ...more }))
    for (const [dir, more] of [
      ['one', {}],
      ['two', { peer_tls: { ca: 'ca.pem', cert: 'n0.pem', key: 'n0.key' } }],
    ] as const) {
      put(more)
      const made = await run(['tls', 'init', '--dir', join(directory, dir), '--config', file])
      t.equal(made.code, 0, made.stderr)
      const show = await run(['tls', 'show', '--dir', join(directory, dir)])
      t.match(show.stdout, /URI:raft-nginx:\/\/c\/n1, IP Address:10\.0\.0\.1, DNS:n1\.example/)
    }
    put({ machine: 3 })
    const wrong = await run(['tls', 'init', '--dir', join(directory, 'x'), '--config', file])
    t.match([wrong.code, wrong.stderr], [1, /machine must be text/])
  },
)

t.test('tls: what is missing or wrong is said in words', async t => {
  const directory = t.testdir({ 'not.pem': 'x' })
  const dir = join(directory, 'tls')
  mkdirSync(dir)
  for (const [args, code, words] of [
    [['init', '--dir', dir], 2, /which nodes/],
    [['init', '--dir', dir, '--nodes', 'a b'], 2, /a b is no name of a node/],
    [['init', '--dir', dir, '--nodes', 'ca'], 1, /cannot be called ca/],
    [['init', '--dir', dir, '--nodes', 'a', '--days', '0'], 1, /at least 1/],
    [['init', '--dir', dir, '--nodes', 'a', '--days', 'x'], 2, /whole number/],
    [['add', 'a', '--dir', directory], 1, /there is no CA in/],
    [['show', '--dir', join(directory, 'none')], 1, /there is no directory/],
    [['show', join(directory, 'not.pem')], 1, /holds no certificate/],
  ] as const) {
    const ran = await run(['tls', ...args])
    t.match([ran.code, ran.stderr], [code, words], args.join(' '))
  }
})
