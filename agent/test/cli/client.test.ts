import t from 'tap'
import { run, type Speech, speaker } from './harness.ts'

/** Nobody listens there: port 1 needs root. */
const NOBODY = '127.0.0.1:1'
const ROW = '[{"Key":"a","Value":"Yg==","Flags":0,"CreateIndex":3,"ModifyIndex":4}]'
const problem = (code: string, detail: string) => JSON.stringify({ code, detail })

t.test('endpoints are tried in turn, from the option or the environment', async t => {
  const { name, seen } = await speaker(t, (_seen, answer) => answer(200, ROW))
  const got = await run(['-e', NOBODY, '-e', name, 'kv', 'get', 'a'])
  t.strictSame(got, { code: 0, stdout: 'b', stderr: '' })
  const env = { RAFT_NGINX_ENDPOINT: `${NOBODY},http://${name}` }
  t.equal((await run(['kv', 'get', 'a'], { env })).stdout, 'b')
  const option = await run(['-e', NOBODY, 'kv', 'get', 'a'], { env })
  t.equal(option.code, 3, 'the option replaces the environment')
  t.strictSame(
    seen.map(({ line }) => line),
    ['GET /v1/kv/a', 'GET /v1/kv/a'],
  )
})

t.test('nobody there is exit status 3, at once and by name', async t => {
  const began = performance.now()
  const got = await run(['-e', `${NOBODY},unix:/nowhere/agent.sock`, 'kv', 'put', 'a', 'b'])
  t.ok(performance.now() - began < 5_000)
  t.equal(got.code, 3)
  t.match(got.stderr, /127\.0\.0\.1:1: nobody listens there/)
  t.match(got.stderr, 'unix:/nowhere/agent.sock: there is no such socket')
  t.notMatch(got.stderr, /not known whether/, 'surely nothing has happened')
})

t.test('a follower that sends away: the leader is looked up and asked', async t => {
  const leader = await speaker(t, (_seen, answer) => answer(200, 'true', { 'X-Raft-Index': '9' }))
  const follower = await speaker(t, ({ line }, answer) => {
    if (line !== 'GET /status?brief=1') answer(421, problem('NOT_LEADER', 'another node leads'))
    else answer(200, JSON.stringify({ leader: { id: 'n2', http: leader.name } }))
  })
  const got = await run(['-e', follower.name, '--json', 'kv', 'put', 'a', 'b'])
  t.strictSame(got, { code: 0, stdout: '{"index":9}\n', stderr: '' })
  t.match(leader.seen, [{ line: 'PUT /v1/kv/a', body: 'b' }])
  const key = leader.seen[0]?.headers['idempotency-key']
  t.ok(key && key === follower.seen[0]?.headers['idempotency-key'], 'one request, one key')
})

t.test('a gateway that redirects', async t => {
  const leader = await speaker(t, (_seen, answer) => answer(200, 'true'))
  const gateway = await speaker(t, ({ line }, answer) => {
    answer(307, '', { Location: `http://${leader.name}${line.split(' ')[1]}` })
  })
  t.equal((await run(['-e', gateway.name, 'kv', 'delete', 'a/b', '--cas', '7'])).code, 0)
  t.match(leader.seen, [{ line: 'DELETE /v1/kv/a%2Fb?cas=7' }])
})

t.test('two that send to each other for ever', async t => {
  const names: string[] = []
  const speech =
    (at: number): Speech =>
    ({ line }, answer) => {
      if (line.startsWith('PUT')) answer(421, problem('NOT_LEADER', 'another node leads'))
      else answer(200, JSON.stringify({ leader: { id: 'x', http: names[1 - at] } }))
    }
  for (const at of [0, 1]) names.push((await speaker(t, speech(at))).name)
  const got = await run(['-e', names[0] ?? '', '--timeout', '2', 'kv', 'put', 'a', 'b'])
  t.equal(got.code, 3)
  t.match(got.stderr, /another node leads/)
})

t.test('while there is no leader it is tried again, as long as --timeout says', async t => {
  let refusals = 2
  const { name, seen } = await speaker(t, (_seen, answer) => {
    if (refusals-- > 0) answer(503, problem('NO_LEADER', 'an election is under way'))
    else answer(200, 'true')
  })
  t.equal((await run(['-e', name, 'kv', 'put', 'a', 'b'])).code, 0)
  t.equal(seen.length, 3)
  refusals = Number.POSITIVE_INFINITY
  const got = await run(['-e', name, '--timeout', '1', 'kv', 'put', 'a', 'b'])
  t.equal(got.code, 3)
  t.match(got.stderr, 'an election is under way')
  t.notMatch(got.stderr, /not known whether/)
})

t.test(
  'a write whose answer is lost is repeated with its key; settled or not, it is said',
  async t => {
    let losses = 1
    const { name, seen } = await speaker(t, (_seen, answer, cut) => {
      if (losses-- > 0) cut()
      else answer(200, 'true')
    })
    t.equal((await run(['-e', name, 'kv', 'put', 'a', 'b'])).code, 0)
    const keys = new Set(seen.map(({ headers }) => headers['idempotency-key']))
    t.strictSame([seen.length, keys.size], [2, 1])
    losses = Number.POSITIVE_INFINITY
    const got = await run(['-e', name, '--timeout', '1', 'kv', 'put', 'a', 'b'])
    t.equal(got.code, 3)
    t.match(got.stderr, 'it is not known whether this has happened')
    const json = await run(['-e', name, '--timeout', '1', '--json', 'kv', 'put', 'a', 'b'])
    t.match(JSON.parse(json.stderr), { settled: false })
  },
)

t.test('a transfer to anybody is not repeated: it would move on', async t => {
  const { name, seen } = await speaker(t, (_seen, answer) => {
    answer(504, problem('COMMIT_UNKNOWN', 'no answer from the leader'))
  })
  t.equal((await run(['-e', `${name},${name}`, 'transfer'])).code, 3)
  t.equal(seen.length, 1)
})

t.test('an answer that never comes, and a refusal in words', async t => {
  const silent = await speaker(t, () => {})
  const began = performance.now()
  t.equal((await run(['-e', silent.name, '--timeout', '0.3', 'kv', 'get', 'a'])).code, 3)
  t.ok(performance.now() - began < 5_000)
  const refusing = await speaker(t, (_seen, answer) => {
    answer(409, problem('BAD_CHANGE', 'there is no member node9'))
  })
  const got = await run(['-e', refusing.name, '--json', 'remove', 'node9'])
  t.equal(got.code, 1)
  const said = { error: 'there is no member node9', code: 'BAD_CHANGE', status: 409, settled: true }
  t.strictSame(JSON.parse(got.stderr), said)
})
