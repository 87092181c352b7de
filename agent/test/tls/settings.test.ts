import t from 'tap'
import { type ConfigResult, loadConfig } from '../../src/config.ts'

function load(content: object, { env = {} }: { env?: Record<string, string> } = {}) {
  const text = JSON.stringify(content)
  return loadConfig({ file: '/etc/raft/node.json', text, env, overrides: {} })
}

function faults(result: ConfigResult): readonly string[] {
  return result.kind === 'faults' ? result.faults : []
}

t.test('without certificates or a secret an agent listens for peers on loopback only', async t => {
  const at = (raft_bind: string, more: object = {}) =>
    load({ nodes: [{ id: 'a', address: 'localhost:8185', raft_bind }], ...more })
  for (const bind of [
    '127.0.0.1:1',
    '127.9.9.9:1',
    '[::1]:1',
    '[0:0:0:0:0:0:0:1]:1',
    'localhost:1',
  ]) {
    t.equal(at(bind).kind, 'config', bind)
  }
  const tls = { peer_tls: { ca: 'ca.pem', cert: '/c/node.pem', key: 'node.key' } }
  const secret = { peer_secret_file: 'secret' }
  for (const bind of [
    '10.0.0.1:1',
    'node0:1',
    '[::]:1',
    '[fe80::1]:1',
    '[::2]:1',
    '127.example:1',
  ]) {
    const [line = '', ...more] = faults(at(bind))
    t.match(line, /nodes\[0\]\.raft_bind is ".*peer_tls.*peer_secret_file.*peer_insecure/, bind)
    t.strictSame(more, [], 'one sentence')
    for (const remedy of [tls, secret, { peer_insecure: true }]) {
      t.equal(at(bind, remedy).kind, 'config', `${bind} ${Object.keys(remedy)}`)
    }
  }
  for (const address of [':1', '0.0.0.0:1']) {
    const result = at('127.0.0.1:2', { transport: { address } })
    t.match(faults(result), [/^\S+: transport\.address is /], address)
  }
  t.strictSame(faults(at('127.0.0.1:2', { transport: { address: '127.0.0.1:3' } })), [])
  const certified = at('10.0.0.1:1', tls)
  t.match(certified, {
    config: {
      peers: {
        kind: 'certificates',
        ca: '/etc/raft/ca.pem',
        cert: '/c/node.pem',
        key: '/etc/raft/node.key',
      },
    },
  })
  const fromEnvironment = load(
    { nodes: [{ id: 'a', address: 'localhost:8185', raft_bind: '10.0.0.1:1' }] },
    { env: { RAFT_NGINX_PEER_SECRET_FILE: '/run/secret' } },
  )
  t.match(fromEnvironment, { config: { peers: { kind: 'secret', file: '/run/secret' } } })
  t.match(faults(at('10.0.0.1:1', { ...tls, ...secret })), [
    /peer_secret_file must not be given beside peer_tls/,
  ])
  t.match(faults(at('10.0.0.1:1', { ...secret, peer_insecure: true })), [
    /must not be given beside/,
  ])
  t.match(faults(at('10.0.0.1:1', { peer_tls: { ca: 'x' } })), [
    /peer_tls\.cert is missing/,
    /peer_tls\.key is missing/,
  ])
})
