import fc from 'fast-check'
import t from 'tap'
import { type Change, changesOf } from '../../src/cli/structure-push.ts'
import { LIMITS, layOut, type TreeRow } from '../../src/structure/layout.ts'
import { upstreamBlock } from '../../src/structure/upstream.ts'

const PEM = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n'
const KEY = '-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n'

const row = (key: string, value: string | Buffer = '#'): TreeRow => ({
  key: `nginx/${key}`,
  value: Buffer.from(value),
})

function faults(...rows: TreeRow[]): readonly string[] {
  const layout = layOut(rows, 'nginx/')
  return layout.kind === 'faults' ? layout.faults : []
}

t.test('each folder has its files, private keys for the owner only', async t => {
  const layout = layOut(
    [
      row('http.d/site.conf', 'ssl_certificate {{dir}}/certs/a.pem;'),
      row('stream.d/tcp.conf'),
      row('certs/a.pem', PEM),
      row('certs/a.key', KEY),
      row('upstreams/app', '["10.0.0.1:80"]'),
      row('upstreams/other.json', '[]'),
      row('files/html/index.html', Buffer.from([0, 255])),
      row('files/', ''),
      row('', ''),
    ],
    'nginx/',
  )
  if (layout.kind === 'faults') throw new Error(layout.faults.join('\n'))
  const modes = [...layout.files].map(([path, { mode, filled }]) => [path, mode, filled])
  t.strictSame(modes, [
    ['certs/a.key', 0o600, false],
    ['certs/a.pem', 0o644, false],
    ['files/html/index.html', 0o644, false],
    ['http.d/site.conf', 0o644, true],
    ['stream.d/tcp.conf', 0o644, true],
    ['upstreams/app.conf', 0o644, false],
    ['upstreams/other.conf', 0o644, false],
  ])
})

t.test('what has no place is refused, and everything at once', async t => {
  const wrong: readonly (readonly [TreeRow, RegExp])[] = [
    [row('site.conf'), /^nginx\/site\.conf: is in none of the folders http\.d, /],
    [row('http.d'), /none of the folders/],
    [row('conf.d/a.conf'), /none of the folders/],
    [row('__proto__/a'), /none of the folders/],
    [row('http.d/a.txt'), /ends in \.conf/],
    [row('http.d/sub/a.conf'), /no folders of its own/],
    [row('http.d/../../etc/passwd'), /each part of a name/],
    [row('http.d/.hidden.conf'), /each part of a name/],
    [row('http.d/-T.conf'), /each part of a name/],
    [row('http.d//a.conf'), /each part of a name/],
    [row('http.d/a b.conf'), /each part of a name/],
    [row('http.d/a\n.conf'), /each part of a name/],
    [row('http.d/\ufffd.conf'), /each part of a name/],
    [row(`http.d/${'a'.repeat(LIMITS.nameBytes)}.conf`), /each part of a name/],
    [row('http.d/a.conf', Buffer.from([0x61, 0])), /no text/],
    [row('http.d/a.conf', Buffer.from([0xff])), /no text/],
    [row('files/a/', 'x'), /each part of a name/],
    [row(`files/${'a/'.repeat(LIMITS.segments)}a`), /at most 8 parts/],
    [row('certs/a.pem', 'hello'), /no PEM/],
    [row('certs/a.crt', PEM), /\.pem or \.key/],
    [row('certs/a.pem', PEM + KEY), /private key/],
    [row('upstreams/app', '10.0.0.1'), /no JSON list/],
  ]
  for (const [one, says] of wrong) t.match(faults(one), [says], one.key)
  t.equal(faults(...wrong.map(([one]) => one)).length, wrong.length, 'all of them are told')
  t.match(faults(row('upstreams/a', '[]'), row('upstreams/a.json', '[]')), [/another key/])
  t.match(faults(row('files/a'), row('files/a/b')), [/nginx\/files\/a is a file/])
  const many = Array.from({ length: LIMITS.files + 1 }, (_, at) => row(`files/${at}`))
  t.match(faults(...many), [/more than 2000 keys/])
  t.match(faults(row('files/a', Buffer.alloc(LIMITS.bytes + 1))), [/more than 8388608 bytes/])
})

t.test('no name leaves its folder, whatever it is', async () => {
  const part = fc.string({ unit: fc.constantFrom('a', '.', '/', '-', '\\', '\0', ' ', 'ü', '~') })
  fc.assert(
    fc.property(
      fc.constantFrom('http.d/', 'files/', 'certs/', 'upstreams/', ''),
      part,
      (at, name) => {
        const layout = layOut([row(at + name, '["a:1"]')], 'nginx/')
        if (layout.kind === 'faults') return true
        return [...layout.files.keys()].every(path =>
          /^(?:http\.d|files|upstreams)(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)+$/.test(path),
        )
      },
    ),
    { numRuns: 2_000 },
  )
})

t.test('the same files have the same digest, whatever their order', async t => {
  const one = layOut([row('files/a', '1'), row('files/b', '2')], 'nginx/')
  const other = layOut([row('files/b', '2'), row('files/a', '1')], 'nginx/')
  const third = layOut([row('files/b', '1'), row('files/a', '2')], 'nginx/')
  if (one.kind !== 'files' || other.kind !== 'files' || third.kind !== 'files') throw new Error()
  t.equal(one.digest, other.digest)
  t.not(one.digest, third.digest)
})

t.test('an upstream is a list of servers, and none of nginx’s words', async t => {
  t.same(upstreamBlock('app', '["10.0.0.1:80", {"server":"[::1]:81","weight":2,"backup":true}]'), {
    text: 'upstream app {\n    server 10.0.0.1:80;\n    server [::1]:81 weight=2 backup;\n}\n',
  })
  t.same(upstreamBlock('app', '{"method":"least_conn","keepalive":8,"servers":["unix:/run/a"]}'), {
    text: 'upstream app {\n    least_conn;\n    server unix:/run/a;\n    keepalive 8;\n}\n',
  })
  t.same(upstreamBlock('app', '[]'), { text: 'upstream app {\n    server 127.0.0.1:9 down;\n}\n' })
  for (const text of [
    '',
    '{}',
    '["a;b"]',
    '["a b"]',
    '["a\\nb"]',
    '["a{"]',
    '["$host"]',
    '[{"server":"a","weight":"1; x"}]',
    '[{"server":"a","fail_timeout":"1s; x"}]',
    '[{"server":"a","slow":1}]',
    '{"servers":["a"],"method":"hash $x"}',
  ]) {
    t.match(upstreamBlock('app', text), { fault: /no JSON list/ }, text)
  }
})

t.test('a push changes what differs, where it is as it was read', async t => {
  const before = [
    { key: 'nginx/files/a', value: Buffer.from('1'), modifyIndex: 5 },
    { key: 'nginx/files/b', value: Buffer.from('1'), modifyIndex: 6 },
    { key: 'nginx/files/c', value: Buffer.from('1'), modifyIndex: 7 },
  ]
  const wanted = [row('files/a', '1'), row('files/b', '2'), row('files/d', '3')]
  const brief = (changes: readonly Change[]) =>
    changes.map(({ kind, key, index }) => `${kind} ${key} at ${index}`)
  const set = ['set nginx/files/b at 6', 'set nginx/files/d at 0']
  t.strictSame(brief(changesOf(wanted, before, false)), set)
  t.strictSame(brief(changesOf(wanted, before, true)), [...set, 'delete nginx/files/c at 7'])
  t.strictSame(changesOf(wanted, [], false).length, 3)
})
