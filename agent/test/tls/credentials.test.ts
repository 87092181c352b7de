import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { asNodeId } from '../../src/raft/types.ts'
import { readCredentials } from '../../src/tls/credentials.ts'
import { nodeNamed, peerName } from '../../src/tls/peer-name.ts'
import { authority, issue } from '../transport/tls-harness.ts'

const node0 = asNodeId('node0')
const holder = { clusterId: 'test', nodeId: node0 }

t.test('a name leads back to its node, for this cluster only', async t => {
  for (const cluster of ['raft-nginx', "a'b,c%/d", '!*()"', 'a/node0', 'ä'.normalize()]) {
    const shown = `DNS:x, URI:${peerName(cluster, node0)}, IP Address:10.0.0.1`
    t.equal(nodeNamed(cluster, shown), node0, cluster)
    t.equal(nodeNamed(`${cluster}2`, shown), null)
    t.equal(nodeNamed('a', shown), null)
  }
  const own = `URI:${peerName('a', node0)}`
  for (const [shown, why] of [
    [undefined, 'nothing'],
    ['', 'nothing'],
    ['DNS:node0', 'another kind'],
    [`${own}, URI:${peerName('a', asNodeId('node1'))}`, 'two nodes'],
    [`${own}, URI:${peerName('b', node0)}`, 'two clusters'],
    [`${own}/x`, 'more behind it'],
    [`URI:"${peerName('a', node0)}"`, 'quoted, since there is a comma in it'],
    [`DNS:"x, ${own}"`, 'inside of another name'],
    ['URI:raft-nginx://a/', 'no node'],
    ['URI:raft-nginx://a/..', 'no name of a node'],
  ] as const) {
    t.equal(nodeNamed('a', shown), null, why)
  }
})

t.test('certificates are read, and what is wrong with them is said in words', async t => {
  const directory = t.testdir()
  const at = (name: string) => join(directory, name)
  const put = (name: string, content: string, mode = 0o600) => {
    writeFileSync(at(name), content)
    chmodSync(at(name), mode)
    return at(name)
  }
  const ca = await authority({ days: 10 })
  const old = await authority({ days: 3 })
  const own = await issue(ca, node0, { days: 5 })
  const other = await issue(ca, asNodeId('node1'))
  const foreign = await issue(ca, node0, { cluster: 'other' })
  const files = {
    kind: 'certificates',
    ca: put('ca.pem', ca.certificate, 0o644),
    cert: put('cert.pem', own.certificate, 0o644),
    key: put('key.pem', own.key),
  } as const
  const bundle = put('bundle.pem', `# old\n${old.certificate}\n# new\n${ca.certificate}`)
  const read = readCredentials({ ...files, ca: bundle }, holder)
  if (read.kind !== 'certificates') throw new Error('certificates')
  t.equal(read.authorities.length, 2)
  const days = (read.expires.getTime() - Date.now()) / 86_400_000
  t.ok(days > 2.9 && days < 3.1, 'the first that ends counts')
  const wrong: readonly [Partial<typeof files>, RegExp][] = [
    [{ ca: at('none') as never }, /there is no file .*none/],
    [{ ca: put('empty.pem', '') }, /empty\.pem holds no certificate/],
    [{ ca: files.key }, /key\.pem holds no certificate/],
    [
      { cert: put('cut.pem', own.certificate.replace(/M[^\n]+\n/, 'xx\n')) },
      /cut\.pem holds a damaged/,
    ],
    [{ key: files.cert }, /cert\.pem can be read by everybody/],
    [{ key: put('no.key', own.certificate) }, /no\.key holds no private key/],
    [{ key: put('open.key', own.key, 0o644) }, /open\.key can be read by everybody.*chmod 600/],
    [
      { key: put('other.key', other.key) },
      /other\.key is not the key of the certificate in .*cert\.pem/,
    ],
    [
      { cert: put('other.pem', other.certificate), key: at('other.key') as never },
      /not for this node: it must have .*URI:raft-nginx:\/\/test\/node0, and has node1 of this cluster/,
    ],
    [
      { cert: put('foreign.pem', foreign.certificate), key: put('foreign.key', foreign.key) },
      /and has URI:raft-nginx:\/\/other\/node0/,
    ],
  ]
  for (const [change, words] of wrong) {
    t.throws(() => readCredentials({ ...files, ...change }, holder), { message: words }, `${words}`)
  }
  t.doesNotThrow(() => readCredentials({ ...files, key: put('group.key', own.key, 0o640) }, holder))
})

t.test('a secret is long, not for everybody, and another key in another cluster', async t => {
  const file = join(t.testdir({ secret: `${'s'.repeat(40)}\n` }), 'secret')
  const read = (clusterId = 'test') => {
    const credentials = readCredentials({ kind: 'secret', file }, { ...holder, clusterId })
    return credentials.kind === 'secret' ? credentials.key.toString('hex') : ''
  }
  chmodSync(file, 0o604)
  t.throws(read, { message: /secret can be read by everybody/ })
  chmodSync(file, 0o600)
  const first = read()
  t.match(first, /^[0-9a-f]{64}$/)
  t.not(read('other'), first)
  writeFileSync(file, `  ${'s'.repeat(40)}  `)
  t.equal(read(), first, 'space around it does not count')
  writeFileSync(file, `${'s'.repeat(31)}\n`)
  t.throws(read, { message: /holds 31 characters: a secret of at least 32/ })
})
