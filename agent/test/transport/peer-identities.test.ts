import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseHostPort } from '../../src/lib/host-port.ts'
import { FilePeerIdentities } from '../../src/transport/peer-identities.ts'
import { node0, node1, node2 } from './harness.ts'

t.test('who was met first is on disk before it is trusted, and stays', async t => {
  const directory = join(t.testdir(), 'new')
  const identities = await FilePeerIdentities.open(directory)
  const answers = await Promise.all([
    identities.verify(node1, 'a'),
    identities.verify(node2, 'c'),
    identities.verify(node1, 'b'),
    identities.verify(node1, 'a'),
  ])
  t.match(answers, [null, null, /^(?!.*incarnation a).*incarnation now b/, null])
  t.same(JSON.parse(readFileSync(join(directory, 'peers.json'), 'utf8')), {
    node1: 'a',
    node2: 'c',
  })
  t.same(readdirSync(directory), ['peers.json'])
  const reopened = await FilePeerIdentities.open(directory)
  t.equal(await reopened.verify(node1, 'a'), null)
  t.match(await reopened.verify(node2, 'd'), /Restore its data directory/)
})

t.test('a write that fails is not remembered', async t => {
  const directory = t.testdir({ 'peers.json.tmp': {} })
  const identities = await FilePeerIdentities.open(directory)
  await t.rejects(identities.verify(node0, 'a'), { message: /record the identity of node0/ })
  await t.rejects(identities.verify(node0, 'a'), { message: /record the identity of node0/ })
})

t.test('a damaged file stops the node', async t => {
  for (const text of ['', '{', '[]', 'null', '{"node0": 3}']) {
    const directory = t.testdir()
    writeFileSync(join(directory, 'peers.json'), text)
    await t.rejects(FilePeerIdentities.open(directory), { message: /peers.json is damaged/ }, text)
  }
})

t.test('host:port', async t => {
  t.same(parseHostPort('node-0.example:8186'), { host: 'node-0.example', port: 8186 })
  t.same(parseHostPort('[::1]:1'), { host: '::1', port: 1 })
  t.same(parseHostPort(':80'), { host: '', port: 80 })
  for (const text of [
    '',
    'a',
    'a:',
    'a:b',
    'a:65536',
    '::1:80',
    'http://a:80',
    'a:80/',
    'a b:80',
  ]) {
    t.equal(parseHostPort(text), null, text)
  }
})
