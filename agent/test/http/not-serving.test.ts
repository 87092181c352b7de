import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { EventStream } from './event-stream.ts'
import { serve, WAYS } from './harness.ts'
import { parseMetrics } from './metrics-text.ts'
import { type Answer, request } from './raw-client.ts'

const WHY = 'in quarantine: at entry 9 the machine had come to ab…'

/** Status, and the code of a problem. */
const codeOf = ({ status, body }: Answer): string =>
  `${status} ${/"code":"([A-Z_]+)"/.exec(body)?.[1] ?? body.trim()}`

for (const { way, ...how } of WAYS) {
  t.test(`${way}: in quarantine nothing is read, in words, and writes find the leader`, async t => {
    const { node, tcp, errors } = await serve(t, { ...how })
    node.leader = 'node1'
    node.quarantine = WHY
    const ask = async (line: string, body = '') =>
      codeOf(await request(tcp, line, { body, headers: [] }))
    const refused = '503 NOT_SERVING'
    t.equal(await ask('GET /key/x'), refused)
    t.equal(await ask('GET /key/x?consistent'), refused)
    t.match(await ask('GET /v1/kv/x'), /^503 this node is in quarantine/)
    t.match(await ask('GET /v1/kv/x?consistent'), /^503 this node is in quarantine/)
    t.equal(await ask('GET /v1/watch'), refused)
    t.equal(await ask('DELETE /key/x'), '421 NOT_LEADER')
    const answer = await request(tcp, 'GET /key/x')
    t.match(JSON.parse(answer.body), { detail: `this node is ${WHY}`, retryable: true })
    t.equal(answer.headers.get('retry-after'), '1')
    t.strictSame(errors, [], 'that is no fault of ours')
  })
}

t.test('a node in quarantine is not ready, whoever leads, and says why', async t => {
  const { node, tcp } = await serve(t)
  node.quarantine = WHY
  const probe = async (target: string) => {
    const { status, body } = await request(tcp, `GET ${target}`)
    return `${status} ${body}`
  }
  t.equal(await probe('/readyz'), `503 ${WHY}\n`)
  t.match(
    await probe('/readyz?verbose'),
    /^503 .*\n\[\+\]leader\n\[\+\]caught-up\n\[-\]machine: in/,
  )
  node.leader = null
  t.equal(await probe('/readyz?noleader'), `503 ${WHY}\n`)
  t.equal(await probe('/livez'), '200 ok\n')
  const status = JSON.parse((await request(tcp, 'GET /status')).body)
  t.match(status, { quarantine: WHY, ready: false, check: { index: 0, verdict: 'agreed' } })
})

t.test('the metrics show a quarantine, and how the last check ended', async t => {
  const { node, tcp } = await serve(t)
  const scrape = async () => parseMetrics((await request(tcp, 'GET /metrics')).body).samples
  const before = await scrape()
  t.equal(before.get('raft_nginx_quarantined'), 0)
  t.equal(before.get('raft_nginx_machine_check{verdict="agreed"}'), 1)
  t.equal(before.get('raft_nginx_machine_check{verdict="undecided"}'), 0)
  t.equal(before.get('raft_nginx_machine_check_index'), 0)
  node.quarantine = WHY
  t.equal((await scrape()).get('raft_nginx_quarantined'), 1)
})

t.test('watches that were served end with the quarantine', async t => {
  const { http, tcp } = await serve(t)
  const stream = new EventStream(tcp, '/v1/watch')
  t.teardown(() => stream.close())
  while (stream.events.length === 0) await pause(5)
  http.endWatches()
  while (!stream.ended) await pause(5)
  t.match(stream.events.at(-1), { event: 'dropped', data: '{"reason":"closing"}' })
})
