import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { collectDefaultMetrics } from 'prom-client'
import t, { type Test } from 'tap'
import { gate, type Harness, serve, WAYS } from './harness.ts'
import { parseMetrics, type Scrape } from './metrics-text.ts'
import { raw, request } from './raw-client.ts'

collectDefaultMetrics()

async function scrape({ tcp }: Pick<Harness, 'tcp'>): Promise<Scrape> {
  const answer = await request(tcp, 'GET /metrics')
  if (answer.status !== 200) throw new Error(answer.raw)
  return parseMetrics(answer.body)
}

function shows(t: Test, { samples }: Scrape, expected: Readonly<Record<string, number>>): void {
  for (const [sample, value] of Object.entries(expected)) {
    t.equal(samples.get(`raft_nginx_${sample}`), value, sample)
  }
}

t.test('what the node knows, in the units and names of the convention', async t => {
  const harness = await serve(t)
  const { node } = harness
  node.applied = 7
  node.stalenessMs = 250
  node.persistSeconds.observe(0.003)
  const found = await scrape(harness)
  shows(t, found, {
    'role{role="leader"}': 1,
    'role{role="follower"}': 0,
    term: 3,
    leader_known: 1,
    ready: 1,
    applied_index: 7,
    members: 3,
    staleness_seconds: 0.25,
    'peer_connected{peer="node1"}': 1,
    'peer_lag_entries{peer="node1"}': 4,
    elections_started_total: 2,
    leader_changes_total: 1,
    'queue_length{queue="uncommitted"}': 3,
    first_log_index: 1,
    log_bytes: 1000,
    log_compactions_total: 6,
    snapshot_index: 5,
    snapshot_sending: 0,
    snapshot_installing: 0,
    snapshots_built_total: 7,
    snapshots_sent_total: 8,
    snapshots_received_total: 9,
    snapshot_transfers_failed_total: 10,
    snapshot_sent_bytes_total: 11,
    snapshot_received_bytes_total: 12,
    snapshots_installed_total: 13,
    'log_persist_duration_seconds_bucket{le="0.0025"}': 0,
    'log_persist_duration_seconds_bucket{le="0.005"}': 1,
    log_persist_duration_seconds_count: 1,
    log_persist_duration_seconds_sum: 0.003,
  })
  const build = [...found.samples.keys()].filter(name => name.includes('build_info'))
  t.strictSame(build, [`raft_nginx_build_info{version="1.2.3",node_version="${process.version}"}`])
  t.ok(found.samples.has('process_resident_memory_bytes'), 'the process')
  t.ok(found.samples.has('nodejs_eventloop_lag_p99_seconds'), "the event loop's delay")
  for (const [name, type] of found.types) {
    if (!name.startsWith('raft_nginx_')) continue
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
    t.notMatch(name, /_(ms|millis|kb|mb|percent)(_|$)/, name)
    if (type === 'histogram') t.match(name, /_seconds$/, name)
  }
})

t.test('a follower shows no lag of peers, and no sample in its place', async t => {
  const harness = await serve(t)
  harness.node.leader = 'node2'
  const { types, samples } = await scrape(harness)
  t.ok(types.has('raft_nginx_peer_lag_entries'))
  t.notOk([...samples.keys()].some(name => name.startsWith('raft_nginx_peer_lag_entries')))
})

for (const { way, ...how } of WAYS) {
  t.test(`${way}: requests are counted by route, method and status, whoever sent them`, async t => {
    const harness = await serve(t, { ...how })
    const { tcp, unix, node } = harness
    await request(tcp, 'POST /key', { body: '{"a":"b"}' })
    await request(unix, 'GET /key/a')
    await request(unix, 'GET /key/b')
    await request(tcp, 'DELETE /key/a')
    await request(tcp, 'FOO /key/a')
    await request(tcp, 'BREW /key/a')
    await request(tcp, 'GET /a/path/that/a/client/made/up')
    await request(tcp, 'GET /another')
    await raw(tcp, 'nonsense\r\n\r\n')
    node.leader = null
    await request(tcp, 'POST /key', { body: '{"a":"b"}' })
    const found = await scrape(harness)
    const requests = (labels: string) => `http_requests_total{${labels}}`
    shows(t, found, {
      [requests('route="keys",method="POST",code="200"')]: 1,
      [requests('route="keys",method="POST",code="503"')]: 1,
      [requests('route="key",method="GET",code="200"')]: 2,
      [requests('route="key",method="DELETE",code="200"')]: 1,
      [requests('route="unknown",method="GET",code="404"')]: 2,
      'http_request_duration_seconds_count{route="key",method="GET"}': 2,
      'http_request_duration_seconds_bucket{route="key",method="GET",le="+Inf"}': 2,
      http_requests_in_flight: 1,
      http_connections: 1,
    })
    const bad = [...found.samples].filter(([name]) => /route="(refused|malformed)"/.test(name))
    const total = bad.filter(([name]) => name.includes('http_requests_total'))
    t.equal(
      total.reduce((sum, [, count]) => sum + count, 0),
      3,
      'two methods and some noise',
    )
  })
}

t.test('a client that leaves before its answer counts, and is in flight no more', async t => {
  const harness = await serve(t)
  const open = gate(harness)
  const socket = connect(harness.tcp)
  socket.write('POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"a":"b"}')
  await once(socket, 'connect')
  while ((await scrape(harness)).samples.get('raft_nginx_http_requests_in_flight') !== 2);
  socket.destroy()
  while ((await scrape(harness)).samples.get('raft_nginx_http_requests_in_flight') !== 1);
  shows(t, await scrape(harness), {
    'http_requests_total{route="keys",method="POST",code="499"}': 1,
  })
  open()
})

t.test('watches are counted while their clients stay, and all who wait for changes', async t => {
  const harness = await serve(t)
  const { tcp, node } = harness
  const watcher = connect(tcp)
  t.teardown(() => watcher.destroy())
  watcher.write('GET /v1/watch HTTP/1.1\r\nHost: a\r\n\r\n')
  await once(watcher, 'data')
  const found = await scrape(harness)
  shows(t, found, { watches: 1, feed_listeners: 1, watches_dropped_total: 0, feed_since_index: 0 })
  node.machine.changes.restart(9)
  shows(t, await scrape(harness), { feed_since_index: 9, watches: 0, watches_dropped_total: 1 })
})

t.test("operators only: the agent's own port, and nothing that came through a gateway", async t => {
  const { tcp, unix } = await serve(t)
  t.match(await request(unix, 'GET /metrics'), { status: 403, body: /OPERATORS_ONLY/ })
  const forwarded = { headers: ['X-Raft-Hop: 1'] }
  t.match(await request(tcp, 'GET /metrics', forwarded), { status: 403, body: /OPERATORS_ONLY/ })
  t.equal((await request(tcp, 'POST /metrics')).status, 405)
  t.equal((await request(tcp, 'GET /metrics')).status, 200)
})

t.test('the dashboard asks for nothing that does not exist', async t => {
  const harness = await serve(t)
  await request(harness.tcp, 'POST /key', { body: '{"a":"b"}' })
  const { types, samples } = await scrape(harness)
  const file = new URL('../../docs/grafana-dashboard.json', import.meta.url)
  const dashboard = JSON.parse(readFileSync(file, 'utf8'))
  const expressions: string[] = dashboard.panels.flatMap(
    (panel: { targets?: { expr: string }[] }) => (panel.targets ?? []).map(({ expr }) => expr),
  )
  t.ok(expressions.length >= 12, `${expressions.length} expressions`)
  const names = new Set(
    expressions.flatMap(text => text.match(/\b(?:raft_nginx|nodejs|process)_[a-z0-9_]+/g) ?? []),
  )
  const series = new Set([...samples.keys()].map(sample => sample.replace(/\{.*/, '')))
  for (const name of names) t.ok(series.has(name) || types.has(name), `${name} exists`)
  const labels = new Set(
    [...samples.keys()].flatMap(sample => sample.match(/[a-z_]+(?==")/g) ?? []),
  )
  // what Prometheus itself adds
  for (const label of ['job', 'instance']) labels.add(label)
  const used = expressions.flatMap(text => [
    ...(text.match(/[a-z_]+(?=(?:=|!=|=~|!~)")/g) ?? []),
    ...[...text.matchAll(/(?:by|without) \(([^)]*)\)/g)].flatMap(
      match => match[1]?.split(', ') ?? [],
    ),
  ])
  for (const label of new Set(used)) t.ok(labels.has(label), `label ${label} exists`)
  const ids = dashboard.panels.map((panel: { id: number }) => panel.id)
  t.equal(new Set(ids).size, ids.length, 'each panel has an id of its own')
  const shown = [...types.keys()].filter(name => name.startsWith('raft_nginx_'))
  t.comment(`not shown: ${shown.filter(name => ![...names].some(used => used.startsWith(name)))}`)
})
