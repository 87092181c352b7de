import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { parseCommandLine, readDescription } from '../../src/gateway/command-line.ts'
import { installDropIn, installPrefix } from '../../src/gateway/install.ts'

const FILES = new Map([
  ['nginx.conf', 'new main'],
  ['conf.d/x.conf', 'new x'],
])
const yes = () => ({ ok: true, text: '' })
const no = () => ({ ok: false, text: 'refused' })
const read = (folder: string, name: string) => readFileSync(path.join(folder, name), 'utf8')

t.test('a prefix gets its files after a test of a copy that lies beside them', async t => {
  const folder = t.testdir({ 'nginx.conf': 'old main' })
  const verdict = installPrefix(
    folder,
    FILES,
    file => {
      t.equal(readFileSync(file, 'utf8'), 'new main')
      t.equal(read(path.dirname(file), 'conf.d/x.conf'), 'new x')
      t.equal(read(folder, 'nginx.conf'), 'old main', 'untouched until the test passes')
      return yes()
    },
    false,
  )
  t.equal(verdict.ok, true)
  t.equal(read(folder, 'nginx.conf'), 'new main')
  t.equal(read(folder, 'conf.d/x.conf'), 'new x')
  t.strictSame(readdirSync(folder).sort(), ['cache', 'conf.d', 'logs', 'nginx.conf', 'run', 'tmp'])
})

t.test('the copy of a prefix finds beside it what an operator’s site names there', async t => {
  const folder = t.testdir({ 'nginx.conf': 'old main', own: { 'a.conf': 'mine' } })
  const verdict = installPrefix(
    folder,
    FILES,
    file => {
      t.equal(read(path.dirname(file), 'own/a.conf'), 'mine')
      t.equal(read(path.dirname(file), 'nginx.conf'), 'new main')
      return yes()
    },
    false,
  )
  t.equal(verdict.ok, true)
  t.equal(read(folder, 'own/a.conf'), 'mine')
})

t.test(
  'a prefix keeps its files when the test fails, throws, or is all that was wanted',
  async t => {
    const folder = t.testdir({ 'nginx.conf': 'old main' })
    t.strictSame(installPrefix(folder, FILES, no, false), no())
    t.strictSame(installPrefix(folder, FILES, yes, true), yes())
    const fails = () => {
      throw new Error('no nginx')
    }
    t.throws(() => installPrefix(folder, FILES, fails, false), /no nginx/)
    t.equal(read(folder, 'nginx.conf'), 'old main')
    t.strictSame(readdirSync(folder).sort(), ['cache', 'logs', 'nginx.conf', 'run', 'tmp'])
  },
)

t.test('a drop-in is taken back: old files return, new ones go', async t => {
  for (const [test, checkOnly] of [
    [no, false],
    [yes, true],
  ] as const) {
    const folder = t.testdir({ 'nginx.conf': 'old main' })
    installDropIn(folder, FILES, test, checkOnly)
    t.equal(read(folder, 'nginx.conf'), 'old main')
    t.notOk(existsSync(path.join(folder, 'conf.d/x.conf')))
    t.strictSame(readdirSync(folder).sort(), ['conf.d', 'nginx.conf'])
  }
  const folder = t.testdir({ 'nginx.conf': 'old main' })
  t.equal(installDropIn(folder, FILES, yes, false).ok, true)
  t.equal(read(folder, 'nginx.conf'), 'new main')
})

t.test('both shapes of a member list are read', async t => {
  const folder = t.testdir()
  mkdirSync(folder, { recursive: true })
  const file = path.join(folder, 'list.json')
  const nodes = [{ id: 'a', address: 'x:1', raft_bind: 'x:2', gateway: 'http://x' }]
  const members = [{ id: 'a', address: 'x:1' }]
  writeFileSync(file, JSON.stringify(nodes))
  t.strictSame(
    readDescription(file),
    { node: 'a', members, socket: null, edgeSocket: null },
    'the only one is this one, as for the agent',
  )
  writeFileSync(file, JSON.stringify([...nodes, { id: 'b', address: 'y:1' }]))
  t.equal(readDescription(file).node, null)
  writeFileSync(file, JSON.stringify({ node_id: 'a', nodes, server: { socket: '/s' }, more: 1 }))
  t.strictSame(readDescription(file), { node: 'a', members, socket: '/s', edgeSocket: null })
  writeFileSync(file, JSON.stringify({ nodes, server: { socket: 's' } }))
  t.equal(readDescription(file).socket, path.join(folder, 's'))
  writeFileSync(file, JSON.stringify({ nodes, edge: { socket: 'e' } }))
  t.equal(readDescription(file).edgeSocket, path.join(folder, 'e'))
  const wrong = { '{': /read .*list.json/, '{}': /no list "nodes"/, '[{}]': /nodes\[0\].id is not/ }
  for (const [text, message] of Object.entries(wrong)) {
    writeFileSync(file, text)
    t.throws(() => readDescription(file), message)
  }
  t.throws(() => parseCommandLine(['--no-such']), /--no-such/)
})
