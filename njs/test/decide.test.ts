import t from 'tap'
import { type Brief, decide, parseBrief, type Question, surelyUnsent } from '../src/decide.ts'

const leader = { id: 'node1', http: '10.0.0.1:8185', gateway: 'https://one.example/' }
const brief: Brief = { me: { id: 'node0' }, leader, relay: false }

const members = 'node1=10.0.0.1:8185,node2=10.0.0.2:8185'

function question(changed: Partial<Question>): Question {
  return { brief, mode: 'proxy', members, target: '/key/a%2Fb', ...changed }
}

t.test('a write goes to where the leader is', async t => {
  t.strictSame(decide(question({})), { kind: 'upstream', name: 'raft_to_node1', to: 'node1' })
  const mine = { ...brief, me: { id: 'node1' } }
  const local = { kind: 'upstream', name: 'raft_local', to: 'node1' }
  t.strictSame(decide(question({ brief: mine })), local)
  t.strictSame(decide(question({ brief: { ...mine, relay: true } })), local)
  t.strictSame(
    decide(question({ brief: mine, mode: 'redirect' })),
    local,
    'a leader does not redirect to itself',
  )
})

t.test('a member without an upstream is reached by its address', async t => {
  for (const members of [
    '',
    'node1',
    'node2=10.0.0.1:8185',
    'anode1=10.0.0.1:8185,node1=10.0.0.1:81850',
    'node1=10.0.0.7:8185',
  ]) {
    const byAddress = { kind: 'upstream', name: leader.http, to: 'node1' }
    t.strictSame(decide(question({ members })), byAddress, members)
  }
})

t.test('where the agent takes writes to others, none goes by itself, whoever leads', async t => {
  const relayed = { kind: 'upstream', name: 'raft_relay', to: 'node1' }
  for (const members of ['', 'node1', 'node1=10.0.0.1:8185', 'node1=10.0.0.7:8185']) {
    t.strictSame(decide(question({ members, brief: { ...brief, relay: true } })), relayed, members)
  }
})

t.test('redirect mode joins the public URL and the raw target with one slash', async t => {
  const url = 'https://one.example/key/a%2Fb'
  t.strictSame(decide(question({ mode: 'redirect' })), { kind: 'redirect', url })
  const hidden = { ...brief, leader: { ...leader, gateway: null } }
  const forwarded = { kind: 'upstream', name: 'raft_to_node1', to: 'node1' }
  t.strictSame(decide(question({ mode: 'redirect', brief: hidden })), forwarded)
})

t.test('no leader and no agent are told apart', async t => {
  t.match(decide(question({ brief: null })), { kind: 'none', code: 'AGENT_DOWN' })
  const election = { ...brief, leader: null }
  t.match(decide(question({ brief: election })), { kind: 'none', code: 'NO_LEADER' })
})

t.test('a brief is read whole', async t => {
  const text = JSON.stringify({ ...brief, term: 7, more: true })
  t.strictSame(parseBrief(200, text), brief)
  const relaying = { ...brief, relay: true }
  t.strictSame(parseBrief(200, JSON.stringify(relaying)), relaying)
  const older = JSON.stringify({ me: brief.me, leader })
  t.strictSame(parseBrief(200, older), brief, 'an agent that knows of no relay')
  const election = { me: { id: 'node0' }, leader: null, relay: false }
  t.strictSame(parseBrief(200, JSON.stringify(election)), election)
  const silent = { ...brief, leader: { id: 'node1', http: '[::1]:80', gateway: null } }
  t.strictSame(parseBrief(200, JSON.stringify(silent)), silent)
})

t.test('what is not a brief is none', async t => {
  t.equal(parseBrief(502, JSON.stringify(brief)), null)
  for (const text of [undefined, '', '{', 'null', '[]', '7', '{"me":{}}', '{"me":{"id":"a"}}']) {
    t.equal(parseBrief(200, text), null, `${text}`)
  }
})

t.test('nothing of a brief can become syntax in a variable or a header', async t => {
  const withLeader = (changed: object) =>
    parseBrief(200, JSON.stringify({ ...brief, leader: { ...leader, ...changed } }))
  for (const http of ['', 'host', 'h:1/x', 'h:1 ', 'u@h:1', 'h:123456', 'unix:/x', 7, null]) {
    t.equal(withLeader({ http }), null, `http ${http}`)
  }
  for (const id of ['', 'a,b', 'a b', 'a/b', 'x'.repeat(65), 7]) {
    t.equal(withLeader({ id }), null, `id ${id}`)
  }
  for (const gateway of ['javascript:x', 'http://a b', 'http://a\r\nX: 1', 'ftp://a', '', 7]) {
    t.equal(withLeader({ gateway })?.leader?.gateway, null, `gateway ${gateway}`)
  }
})

t.test('only an attempt without a byte is surely unsent', async t => {
  for (const unsent of ['0', '246 : 0', '246, 0', '246 : ', '', undefined]) {
    t.equal(surelyUnsent(unsent), true, `${unsent}`)
  }
  for (const sent of ['246', '0 : 246', '0, 246', '10', '246 : 10']) {
    t.equal(surelyUnsent(sent), false, sent)
  }
})
