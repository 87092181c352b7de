import t from 'tap'
import type { EdgeView } from '../../src/http/edge-view.ts'
import { serve } from './harness.ts'
import { parseMetrics } from './metrics-text.ts'
import { request } from './raw-client.ts'

const VIEW: EdgeView = {
  state: 'following',
  index: 7,
  only: ['flag%2F'],
  capacity: 1_000,
  free: 600,
  batches: 40,
  copies: 2,
  missed: 0,
}

t.test('what is known of nginx’s memory is in /status, /metrics and /readyz', async t => {
  let view = VIEW
  const { tcp } = await serve(t, { edge: () => view })
  const get = (target: string) => request(tcp, `GET ${target}`)
  t.strictSame(JSON.parse((await get('/status')).body).edge, VIEW)
  const shown = async () => parseMetrics((await get('/metrics')).body).samples
  const samples = await shown()
  for (const [name, value] of Object.entries({
    'edge_state{state="following"}': 1,
    'edge_state{state="stuck"}': 0,
    edge_index: 7,
    edge_capacity_bytes: 1_000,
    edge_free_bytes: 600,
    edge_missed_batches: 0,
    edge_batches_total: 40,
    edge_copies_total: 2,
  })) {
    t.equal(samples.get(`raft_nginx_${name}`), value, name)
  }
  t.match((await get('/readyz?verbose')).body, '[+]edge: following')
  t.equal((await get('/readyz')).status, 200)
  view = { ...VIEW, state: 'full', index: null }
  t.equal((await get('/readyz')).status, 200, 'its agent answers instead')
  t.notOk((await shown()).has('raft_nginx_edge_index'))
  view = { ...VIEW, state: 'stuck' }
  const stuck = await get('/readyz')
  t.equal(stuck.status, 503)
  t.match(stuck.body, 'SIGKILL')
  t.match((await get('/readyz?verbose')).body, '[-]edge: ')
})

t.test('an agent whose nginx keeps nothing says so', async t => {
  const { tcp } = await serve(t)
  t.equal(JSON.parse((await request(tcp, 'GET /status')).body).edge, null)
  t.notMatch((await request(tcp, 'GET /metrics')).body, 'raft_nginx_edge_')
  t.notMatch((await request(tcp, 'GET /readyz?verbose')).body, 'edge')
})
