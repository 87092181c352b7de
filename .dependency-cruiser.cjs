// The floors of agent/docs/architecture.md: imports go down only.
const floor = (name, ...below) => ({
  name: `${name} looks down`,
  severity: 'error',
  from: { path: `^agent/src/${name}/` },
  to: {
    path: '^agent/src/',
    pathNot: [`${name}/`, ...below].map(path => `^agent/src/${path}`),
  },
})

const ports = [
  'clock/clock\\.ts$',
  'log/log-store\\.ts$',
  'log/snapshot-store\\.ts$',
  'log/compaction-policy\\.ts$',
  'transport/transport\\.ts$',
  'machine/state-machine\\.ts$',
]

module.exports = {
  forbidden: [
    { name: 'no cycle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'core is alone',
      severity: 'error',
      from: { path: '^agent/src/(lib|raft)/' },
      to: { dependencyTypes: ['core', 'npm'] },
    },
    floor('lib'),
    floor('os'),
    floor('raft', 'lib/'),
    floor('clock', 'lib/'),
    floor('log', 'raft/', 'lib/', 'os/'),
    floor('tls', 'raft/types\\.ts$', 'lib/', 'os/'),
    floor(
      'transport',
      'raft/',
      'lib/',
      'os/',
      'clock/clock\\.ts$',
      'tls/(?:credentials|peer-name)\\.ts$',
    ),
    floor('machine', 'raft/types\\.ts$', 'lib/', 'os/'),
    floor('node', 'raft/', 'lib/', ...ports),
    floor(
      'lifetimes',
      'node/',
      'machine/kv/(?:command|operation|expiry|session|query|change|change-feed)\\.ts$',
      'clock/clock\\.ts$',
    ),
    // What is kept under reserved keys, and read from rows: it carries nothing out.
    floor('acl', 'machine/kv/(?:reserved|row|query|change-feed)\\.ts$', 'lib/'),
    floor(
      'http',
      'node/',
      'acl/',
      // Commands, queries, their answers, and the feed; never what carries them out.
      'machine/kv/(?:command|operation|expiry|session|query|answer|row|tree-limits|change|change-feed)\\.ts$',
      'machine/plug-in/host\\.ts$',
      'machine/state-machine\\.ts$',
      'raft/types\\.ts$',
      'lib/',
      'os/',
      'clock/clock\\.ts$',
    ),
    floor(
      'repair',
      'log/',
      'node/',
      'http/(?:leave-client|ask-agent)\\.ts$',
      'machine/(?:registry|state-machine)\\.ts$',
      'raft/',
      'lib/',
      'clock/clock\\.ts$',
      'config\\.ts$',
    ),
    floor(
      'gateway',
      'node/',
      'acl/',
      // what it has to tell of itself
      'http/edge-view\\.ts$',
      'machine/kv/(?:query|row|change|change-feed)\\.ts$',
      'raft/types\\.ts$',
      'lib/',
      'os/',
      'clock/clock\\.ts$',
    ),
    floor(
      'structure',
      'gateway/(?:nginx-binary|stand-in)\\.ts$',
      'http/structure-view\\.ts$',
      'lib/',
      'os/',
    ),
    // It makes a node's files without the node.
    floor('backup', 'log/', 'machine/', 'raft/', 'lib/', 'os/', 'config\\.ts$'),
    // It speaks HTTP to agents, and starts them.
    floor(
      'cli',
      'lib/',
      'os/',
      'config\\.ts$',
      'config/settings\\.ts$',
      'tls/',
      'raft/types\\.ts$',
      'backup/',
      'gateway/render-main\\.ts$',
      'structure/',
      'http/structure-view\\.ts$',
      'main\\.ts$',
    ),
  ],
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { extensions: ['.ts', '.js'] },
  },
}
