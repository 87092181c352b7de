import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { splitAddress } from '../../src/gateway/faults.ts'
import { DEFAULTS, render } from '../../src/gateway/render.ts'
import type { RenderInput, RenderOptions } from '../../src/gateway/render-input.ts'
import { asNodeId } from '../../src/raft/types.ts'

const OPTIONS: RenderOptions = {
  ...DEFAULTS,
  listen: '8100',
  socket: '/run/raft/agent.sock',
  prefix: '/srv/node0',
  sites: '/srv/node0/sites',
  cache: '/srv/node0/cache',
  bundle: '/opt/raft/gateway.js',
  jsModule: null,
  user: null,
}

const MEMBERS = [
  { id: asNodeId('node0'), address: '127.0.0.1:8185' },
  { id: asNodeId('node1'), address: '[::1]:8285' },
  { id: asNodeId('node2'), address: 'agent2.example:8385' },
]

const WHOLE =
  '{{members}}|{{upstreams}}|{{resolver}}|{{limit_zone}}|{{limit}}|{{load_module}}|{{user}}'

function input(options: Partial<RenderOptions>, members = MEMBERS, template = WHOLE): RenderInput {
  const templates = new Map([['x.conf', template]])
  return { templates, self: 'node0', members, options: { ...OPTIONS, ...options } }
}

function text(options: Partial<RenderOptions>, template: string): string {
  const rendering = render(input({ resolvers: ['10.0.0.2'], ...options }, MEMBERS, template))
  if (rendering.kind === 'rejected') throw new Error(rendering.faults.join())
  return rendering.files.get('x.conf') ?? ''
}

function faults(options: Partial<RenderOptions>, members = MEMBERS): readonly string[] {
  const rendering = render(input({ resolvers: ['10.0.0.2'], ...options }, members))
  return rendering.kind === 'rejected' ? rendering.faults : []
}

t.test(
  'only members of a fixed address get kept connections, and never the node itself',
  async t => {
    t.equal(text({}, '{{members}}'), 'node1=[::1]:8285')
    t.match(text({}, '{{upstreams}}'), 'upstream raft_to_node1 { server [::1]:8285 max_fails=0;')
    t.notMatch(text({}, '{{upstreams}}'), /node0|node2/)
    const addresses = new Map([['agent2.example', '10.0.0.9']])
    t.equal(
      text({ addresses }, '{{members}}'),
      'node1=[::1]:8285,node2=agent2.example:8385',
      'by the address that the agents know',
    )
    t.match(text({ addresses }, '{{upstreams}}'), 'server 10.0.0.9:8385')
  },
)

t.test('a leader is known by its exact name, whatever words a map has of its own', async t => {
  const members = [
    { id: asNodeId('node0'), address: '127.0.0.1:8185' },
    { id: asNodeId('default'), address: '127.0.0.1:8385' },
    { id: asNodeId('a.b'), address: '127.0.0.1:8485' },
  ]
  const rendering = render(input({}, members, '{{leaders}}'))
  if (rendering.kind === 'rejected') throw new Error(rendering.faults.join())
  t.strictSame(rendering.files.get('x.conf')?.split(/\n */), [
    '"~^(?:yes)? node0$" raft_local;',
    '"~^yes [A-Za-z0-9._-]+$" raft_relay;',
    '"~^ default$" raft_to_default;',
    '"~^ a\\.b$" raft_to_a.b;',
  ])
})

t.test('names need a resolver, and are believed for seconds', async t => {
  t.match(text({}, '{{resolver}}'), 'resolver 10.0.0.2 valid=5s')
  t.match(text({ resolvers: ['fe80::1', '10.0.0.2:53'] }, '{{resolver}}'), '[fe80::1] 10.0.0.2:53')
  t.match(faults({ resolvers: [] }), [/agent2.example.*no resolver/])
  t.strictSame(faults({ resolvers: [], addresses: new Map([['agent2.example', '::1']]) }), [])
})

t.test('what is not wanted leaves no directive', async t => {
  const nothing = '{{load_module}}{{user}}{{limit_zone}}'
  t.equal(text({}, nothing), '')
  t.notMatch(text({}, '{{limit}}'), 'limit_req ')
  t.match(text({ writeRate: 100 }, '{{limit_zone}}'), 'rate=100r/s')
  t.match(text({ writeRate: 100 }, '{{limit}}'), 'limit_req zone=raft_writes burst=200 nodelay')
  t.equal(
    text({ user: 'www-data', jsModule: '/m.so' }, nothing),
    'load_module /m.so;user www-data;',
  )
})

t.test('nothing that nginx would read as syntax gets through', async t => {
  const bad = ['a;b', 'a b', 'a{', 'a}', '$a', "a'", 'a"', 'a\\', 'a\n', 'a#', 'a\0', 'ä', '']
  for (const piece of bad) {
    for (const name of ['socket', 'prefix', 'cache', 'bundle', 'jsModule'] as const) {
      t.equal(
        faults({ [name]: `/x${piece === '' ? '' : '/'}${piece}` }).length,
        piece === '' ? 0 : 1,
        `${name} ${piece}`,
      )
    }
    t.not(faults({ listen: piece }).length, 0, `listen ${piece}`)
    t.not(faults({ listen: `127.0.0.1:80${piece || ' '}` }).length, 0, `listen …${piece}`)
    t.not(faults({ user: piece }).length, 0, `user ${piece}`)
    t.not(faults({ resolvers: [piece] }).length, 0, `resolver ${piece}`)
    t.not(faults({ addresses: new Map([['agent2.example', piece]]) }).length, 0, `address ${piece}`)
    t.not(faults({ writeMode: piece as 'proxy' }).length, 0, `mode ${piece}`)
    const id = { id: piece as (typeof MEMBERS)[0]['id'], address: '127.0.0.1:1' }
    t.not(faults({}, [...MEMBERS, id]).length, 0, `id ${piece}`)
    const member = { id: asNodeId('x'), address: `${piece}:1` }
    t.not(faults({}, [...MEMBERS, member]).length, 0, `address ${piece}`)
  }
})

t.test('numbers that are none, or too large', async t => {
  for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 10 ** 9]) {
    t.equal(faults({ workers: value }).length, 1, `workers ${value}`)
    t.equal(faults({ writeRate: value }).length, 1, `rate ${value}`)
    t.equal(faults({ writesInFlight: value }).length, 1, `writes in flight ${value}`)
    t.equal(faults({ keepalive: value }).length, 1, `keepalive ${value}`)
    t.equal(faults({ forwardTimeoutMs: value }).length, 1, `timeout ${value}`)
  }
  t.strictSame(faults({ workers: 'auto' }), [])
  t.match(faults({ socket: `/${'x'.repeat(107)}` }), [/longer than 101/])
})

t.test('all faults are told at once', async t => {
  const member = { id: asNodeId('NODE1'), address: '1.2.3:99999' }
  const told = faults({ listen: '0', socket: 'relative' }, [...MEMBERS, member])
  t.match(told, [/case does not count/, /not host:port/, /listen/, /socket/])
  const stranger = render({ ...input({ resolvers: ['10.0.0.2'] }), self: 'node9' })
  t.match(stranger, { kind: 'rejected', faults: [/"node9" is not in the member list/] })
})

t.test('addresses', async t => {
  t.strictSame(splitAddress('localhost:1'), { host: '127.0.0.1', port: 1, isIp: true })
  t.strictSame(splitAddress('[2001:db8::1]:80'), { host: '2001:db8::1', port: 80, isIp: true })
  t.strictSame(splitAddress('node-1.x:65535'), { host: 'node-1.x', port: 65_535, isIp: false })
  for (const wrong of [
    '',
    'x',
    'x:',
    ':1',
    'x:0',
    'x:65536',
    '::1:1',
    '[x]:1',
    '-x:1',
    '1.2.3:1',
  ]) {
    t.equal(splitAddress(wrong), null, wrong)
  }
})

t.test(
  'the real templates leave no placeholder, and one that nothing fills is our own bug',
  async t => {
    const folder = new URL('../../../nginx/', import.meta.url)
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    const templates = new Map(
      names
        .filter(name => name.endsWith('.conf'))
        .map(name => [name, readFileSync(new URL(name, folder), 'utf8')] as const),
    )
    t.ok(templates.size >= 7)
    const rendering = render({ ...input({ resolvers: ['10.0.0.2'] }), templates })
    if (rendering.kind === 'rejected') throw new Error(rendering.faults.join())
    for (const [name, whole] of rendering.files) t.notMatch(whole, /\{\{|\}\}/, name)
    t.throws(() => text({}, '{{nothing}}'), /x.conf: nothing fills \{\{nothing\}\}/)
  },
)
