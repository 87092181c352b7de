import fc from 'fast-check'
import t from 'tap'
import { jsonFault } from '../src/config/json-fault.ts'
import { type SettingShape, settingShape } from '../src/config/settings.ts'
import { type ConfigResult, loadConfig, readConfig } from '../src/config.ts'

const file = '/etc/raft/node.json'

function row(id: string, change: object = {}) {
  const at = 1 + Number(id.slice(-1))
  return {
    id,
    address: `127.0.0.1:8${at}85`,
    raft_bind: `127.0.0.1:8${at}86`,
    gateway: `http://127.0.0.1:8${at}00`,
    ...change,
  }
}

const three = [row('node0'), row('node1'), row('node2')]
const base = { node_id: 'node1', nodes: three }

function load(content: object, more: { env?: Record<string, string>; overrides?: object } = {}) {
  const { env = {}, overrides = {} } = more
  return loadConfig({ file, text: JSON.stringify(content), env, overrides: { ...overrides } })
}

function faults(result: ConfigResult): readonly string[] {
  return result.kind === 'faults' ? result.faults : []
}

t.test('the smallest configuration has every default, and absolute paths', async t => {
  const nodes = [{ id: 'a', address: 'localhost:8185', raft_bind: 'localhost:8186' }]
  t.same(load({ nodes }), {
    kind: 'config',
    config: {
      file: '/etc/raft/node.json',
      clusterName: 'raft-nginx',
      nodeId: 'a',
      nodes: [{ id: 'a', address: 'localhost:8185', raftBind: 'localhost:8186', gateway: null }],
      machine: 'sqlite-kv',
      join: null,
      raftDir: '/etc/raft/raft-data',
      inMemory: false,
      electionTimeoutMs: 1_000,
      heartbeatIntervalMs: 100,
      commitTimeoutMs: 10_000,
      checkIntervalMs: 10_000,
      repair: 'auto',
      snapshot: { enabled: true, intervalSec: 120, threshold: 8_192, retain: 2 },
      log: { dir: '/etc/raft/raft-data/log', trailingLogs: 10_240, level: 'info' },
      transport: { listen: 'localhost:8186', timeoutSec: 5 },
      peers: null,
      peersOpen: false,
      server: { listen: 'localhost:8185', socket: null, socketMode: 0o660 },
      edge: { socket: null, prefixes: [] },
      structure: { enabled: false, prefix: 'nginx/', gatewayAccess: false },
      limits: { keyBytesMax: 512, valueBytesMax: 524_288, bodyBytesMax: 1_048_576 },
    },
  })
})

t.test('the keys and values of the seed load', async t => {
  const result = load({
    cluster_name: 'raft-cluster',
    node_id: 'node1',
    raft_dir: '/var/raft',
    in_memory: false,
    election_timeout_ms: 60_000,
    heartbeat_interval_ms: 15_000,
    snapshot: {
      enabled: true,
      snapshot_interval_sec: 120,
      snapshot_threshold: 8_192,
      retain_snapshots: 2,
    },
    log: { log_dir: '/var/raft/logs', trailing_logs: 10_240 },
    transport: { type: 'tcp', max_pool: 3, timeout_sec: 5 },
    bootstrap_expect: 3,
    single_node: false,
    nodes: three,
  })
  if (result.kind !== 'config') throw new Error(result.faults.join('\n'))
  t.match(result.config, {
    clusterName: 'raft-cluster',
    nodeId: 'node1',
    raftDir: '/var/raft',
    electionTimeoutMs: 60_000,
    heartbeatIntervalMs: 15_000,
    log: { dir: '/var/raft/logs' },
    transport: { listen: '127.0.0.1:8286' },
    server: { listen: '127.0.0.1:8285' },
  })
})

t.test('the example of the seed loads as it is: one node, though it expects three', async t => {
  const result = load({
    cluster_name: 'etsme-raft-cluster',
    nodes: [{ id: 'node0', address: '127.0.0.1:10085', raft_bind: '127.0.0.1:10086' }],
    raft_dir: './',
    election_timeout_ms: 60_000,
    heartbeat_interval_ms: 15_000,
    snapshot: {
      enabled: true,
      snapshot_interval_sec: 30,
      snapshot_threshold: 1_000,
      retain_snapshots: 3,
    },
    log: { log_dir: '/var/raft/logs', trailing_logs: 10_240 },
    transport: { type: 'tcp', max_pool: 3, timeout_sec: 5 },
    bootstrap_expect: 3,
    single_node: true,
  })
  if (result.kind !== 'config') throw new Error(result.faults.join('\n'))
  t.equal(result.config.nodeId, 'node0')
})

t.test('what differs from the address that others see', async t => {
  const result = load({
    ...base,
    raft_dir: '../data',
    log: { log_dir: 'wal', level: 'debug' },
    transport: { address: ':8286' },
    peer_secret_file: 'secret',
    server: { address: '[::1]:0', socket: 'run/agent.sock', socket_mode: '0600' },
    nodes: [row('node1', { gateway: 'https://edge.example:8200/' }), row('node2')],
  })
  if (result.kind !== 'config') throw new Error(result.faults.join('\n'))
  t.equal(result.config.raftDir, '/etc/data')
  t.equal(result.config.log.dir, '/etc/raft/wal')
  t.equal(result.config.transport.listen, ':8286')
  t.same(result.config.server, {
    listen: '[::1]:0',
    socket: '/etc/raft/run/agent.sock',
    socketMode: 0o600,
  })
  t.equal(result.config.nodes[0]?.gateway, 'https://edge.example:8200')
})

t.test('a node that joins needs to list only itself', async t => {
  const joining = { node_id: 'node3', nodes: [row('node3')], join: ['a:8185', '[::1]:8185'] }
  const via = ['a:8185', '[::1]:8185']
  t.match(load(joining), { config: { nodeId: 'node3', join: { via, voter: true } } })
  t.match(load({ ...joining, voter: false }), { config: { join: { via, voter: false } } })
  t.match(load(base, { env: { RAFT_NGINX_JOIN: '["a:1"]' } }), {
    config: { join: { via: ['a:1'] } },
  })
})

t.test('all faults at once, a line each: file, path, problem', async t => {
  const result = load({
    node_id: 'node7',
    clustername: 'x',
    nodes: [
      row('node0'),
      row('node1', { raft_bind: 'nowhere', gatway: 'x' }),
      row('node0', { address: 3 }),
    ],
    election_timeout_ms: 1_000,
    heartbeat_interval_ms: 334,
    in_memory: 'yes',
    log: { level: 'loud', trailing_logs: 1.5 },
    transport: { type: 'udp', timeout_sec: 0 },
    limits: { key_bytes_max: '512', value_bytes_max: 2_000_000 },
    server: [],
  })
  t.same(
    faults(result).map(line => {
      t.equal(line.startsWith(`${file}: `), true, line)
      return line.slice(file.length + 2)
    }),
    [
      'clustername is not a setting; did you mean cluster_name?',
      'nodes[1].raft_bind must be host:port, is "nowhere"',
      'nodes[1].gatway is not a setting; did you mean gateway?',
      'nodes[2].address must be text, is 3',
      'in_memory must be true or false, is "yes"',
      'log.trailing_logs must be a whole number, is 1.5',
      'log.level must be "trace" or "debug" or "info" or "warn" or "error" or "fatal" or "silent", is "loud"',
      'transport.type must be "tcp", is "udp"',
      'transport.timeout_sec must be at least 1, is 0',
      'server must be an object, is []',
      'limits.key_bytes_max must be a whole number, is "512"',
      'nodes[2].id is "node0", as is nodes[0].id',
      'nodes[2].raft_bind is "127.0.0.1:8186", as is nodes[0].raft_bind',
      'nodes[2].gateway is "http://127.0.0.1:8100", as is nodes[0].gateway',
      'heartbeat_interval_ms must be at most a third of election_timeout_ms (1000), is 334',
    ],
  )
})

t.test('each fault by itself', async t => {
  const cases: readonly [object, RegExp][] = [
    [{ nodes: three }, /node_id is missing: which of node0, node1, node2 is this agent\?/],
    [{ node_id: 'a' }, /nodes is missing/],
    [{ nodes: [] }, /nodes must be at least 1 in the list, is \[\]/],
    [{ ...base, node_id: 'node9' }, /node_id must be one of node0, node1, node2, is "node9"/],
    [{ ...base, node_id: 'a b' }, /node_id must be a name of 1 to 64/],
    [{ ...base, node_id: '..' }, /node_id must be a name of 1 to 64/],
    [{ ...base, cluster_name: 'a b' }, /cluster_name must be 1 to 64 printable/],
    [{ ...base, bootstrap_expect: 1 }, /bootstrap_expect is 1, but `nodes` lists 3/],
    [{ ...base, single_node: true }, /single_node is true, but `nodes` lists 3/],
    [{ ...base, join: [] }, /join must be at least 1 in the list/],
    [{ ...base, join: ['node0'] }, /join\[0\] must be host:port, is "node0"/],
    [
      { ...base, join: ['a:1', '127.0.0.1:8285'] },
      /join\[1\] is "127.0.0.1:8285", which is this node/,
    ],
    [
      { ...base, join: ['a:1'], bootstrap_expect: 3 },
      /bootstrap_expect must not be given beside `join`/,
    ],
    [{ ...base, join: ['a:1'], single_node: true }, /single_node must not be given beside `join`/],
    [{ ...base, voter: false }, /voter is false, which only a node with `join` can be/],
    [
      { nodes: [row('node0', { raft_bind: '0.0.0.0:8186' })], join: ['a:1'], peer_insecure: true },
      /raft_bind must be an address that the other nodes can dial/,
    ],
    [
      { ...base, nodes: [row('node1', { gateway: `http://${'a'.repeat(250)}` })] },
      /gateway must be a URL/,
    ],
    [{ ...base, raft_dir: '' }, /raft_dir must be at least 1 characters, is ""/],
    [{ ...base, server: { socket: 'x'.repeat(108) } }, /server.socket must have at most 101/],
    [{ ...base, server: { socket_mode: '888' } }, /server.socket_mode must be an octal mode/],
    [{ ...base, server: { address: 'x' } }, /server.address must be host:port or :port/],
    [{ ...base, limits: { value_bytes_max: 2_000_000 } }, /at most limits.body_bytes_max/],
    [{ ...base, zzzzzzzz: 1 }, /zzzzzzzz is not a setting; known here: cluster_name, node_id/],
    [
      {
        ...base,
        nodes: [row('node1', { raft_bind: '0.0.0.0:1' }), row('node2')],
        peer_insecure: true,
      },
      /can dial/,
    ],
    [{ ...base, nodes: [row('node1', { address: 'a:0' })] }, /nodes\[0\].address must be host/],
    [{ ...base, nodes: [row('node1', { raft_bind: '127.0.0.1:8285' })] }, /as is nodes\[0\]/],
    [{ ...base, nodes: [row('node1', { gateway: 'ftp://x' })] }, /must be a URL like/],
    [{ ...base, nodes: [row('node1', { gateway: 'http://u@x' })] }, /must be a URL like/],
    [{ ...base, nodes: ['node1'] }, /nodes\[0\] must be an object, is "node1"/],
  ]
  for (const [content, expected] of cases) {
    const lines = faults(load(content))
    t.equal(lines.length, 1, lines.join('\n'))
    t.match(lines[0], expected)
  }
})

t.test('the environment overrides the file, the command line both', async t => {
  const env = {
    RAFT_NGINX_NODE_ID: 'node2',
    RAFT_NGINX_SERVER__ADDRESS: ':9999',
    RAFT_NGINX_LOG__TRAILING_LOGS: '7',
    RAFT_NGINX_IN_MEMORY: 'false',
    RAFT_NGINX_NODES: JSON.stringify([row('node2'), row('node3')]),
    PATH: '/bin',
  }
  const overrides = { in_memory: true, log: { level: 'warn' }, raft_dir: undefined }
  const result = load({ ...base, server: { socket_mode: '0600' } }, { env, overrides })
  if (result.kind !== 'config') throw new Error(result.faults.join('\n'))
  t.match(result.config, {
    nodeId: 'node2',
    inMemory: true,
    nodes: [{ id: 'node2' }, { id: 'node3' }],
    server: { listen: ':9999', socketMode: 0o600 },
    log: { trailingLogs: 7, level: 'warn' },
  })
})

t.test('a fault names the variable that it came from', async t => {
  const env = {
    RAFT_NGINX_NODEID: 'node2',
    RAFT_NGINX_SERVER__ADRESS: ':1',
    RAFT_NGINX_ELECTION_TIMEOUT_MS: 'long',
    RAFT_NGINX_NODES: '[{]',
    RAFT_NGINX_LOG__LEVEL: 'loud',
    RAFT_NGINX_QQQQQQQQQQQQ: '1',
  }
  const lines = faults(load(base, { env, overrides: { commit_timeout_ms: 1 } }))
  t.match(lines.toSorted(), [
    /^RAFT_NGINX_ELECTION_TIMEOUT_MS: election_timeout_ms must be a whole number, is "long"/,
    /^RAFT_NGINX_LOG__LEVEL: log.level must be "trace"/,
    /^RAFT_NGINX_NODEID: nodeid is not a setting; did you mean RAFT_NGINX_NODE_ID\?/,
    /^RAFT_NGINX_NODES: nodes must be JSON/,
    /^RAFT_NGINX_QQQQQQQQQQQQ: qqqqqqqqqqqq is not a setting; known here/,
    /^RAFT_NGINX_SERVER__ADRESS: server.adress .* did you mean RAFT_NGINX_SERVER__ADDRESS\?/,
    /^command line: commit_timeout_ms must be at least 100, is 1/,
  ])
})

t.test('what is no JSON is named by line and column', async t => {
  const cases: readonly [string, string][] = [
    ['', '1:1: the text ends too early'],
    ['{\n  "a": x\n}', '2:8: expected a value'],
    ['{\n  "a": 1,\n}', '3:1: expected a key in double quotes'],
    ['{"a": 1 "b"', '1:9: expected , or }'],
    ['{"a" 1}', '1:6: expected :'],
    ['{"a": "\n"}', '1:7: a string without end or with a bad escape'],
    ['{"a": [1, 2', '1:12: expected , or ]'],
    ['{} // no', '1:4: text after the end of the JSON'],
    ['{"a": 1,\n "a": 2}', '2:2: the key "a" is given twice'],
  ]
  for (const [text, expected] of cases) {
    const result = loadConfig({ file, text, env: {}, overrides: {} })
    t.same(faults(result), [`${file}:${expected}`], text)
  }
  t.match(faults(load([])), [/must be one JSON object/])
})

t.test('a text has a fault exactly when JSON.parse finds one', async () => {
  const text = fc.oneof(
    fc.json(),
    fc.tuple(fc.json(), fc.nat(), fc.string({ maxLength: 2 })).map(([json, at, more]) => {
      const cut = at % (json.length + 1)
      return json.slice(0, cut) + more + json.slice(cut + 1)
    }),
  )
  fc.assert(
    fc.property(text, json => {
      const fault = jsonFault(json)
      if (fault?.problem.endsWith('twice')) return true
      try {
        JSON.parse(json)
        return fault === null
      } catch {
        return fault !== null
      }
    }),
    { numRuns: 2_000 },
  )
})

t.test('a file that is not there', async t => {
  const directory = t.testdir({ 'a.json': JSON.stringify(base) })
  const read = (name: string) =>
    readConfig({ file: `${directory}/${name}`, env: {}, overrides: {} })
  t.equal(read('a.json').kind, 'config')
  t.match(faults(read('b.json')), [/\/b.json: there is no such file$/])
  t.match(faults(read('.')), [/EISDIR/])
})

t.test('every setting says what it is', async t => {
  const walk = (shape: SettingShape, path: string): void => {
    for (const [key, inner] of Object.entries(shape.properties ?? {})) {
      t.type(inner.description, 'string', `${path}${key}`)
      walk(inner.items ?? inner, `${path}${key}.`)
    }
  }
  walk(settingShape, '')
})
