/**
 * What a reload promises. Listening sockets are never closed and requests that were begun are finished. A kept connection
 * that is idle is closed, and so is a new one that an ending worker had taken; a client whose next request crosses that
 * close sees a reset without a byte of an answer, and no agent has seen that request: it is safe to send again, writes too.
 */

import http from 'node:http'
import type { Test } from 'tap'
import { type Fleet, startFleet, until } from './fleet.ts'

const RELOADS = 3
const CLIENTS = 8

interface Sent {
  readonly id: string
  readonly reused: boolean
  /** 0: the connection ended without an answer */
  readonly status: number
}

export function reloads(t: Test): void {
  t.test('three reloads under load lose no request', async t => {
    const fleet = await startFleet(t)
    fleet.local.behaviour = fleet.one.behaviour = (arrival, response) => {
      // some are under way at any moment
      setTimeout(() => response.end(arrival.target), arrival.target.length % 7)
    }
    const log: Sent[] = []
    const load = { stopped: false }
    const clients = Array.from({ length: CLIENTS }, (_, at) => client(fleet, load, { at, log }))
    for (let reload = 0; reload < RELOADS; reload++) {
      const before = log.length
      await until('clients are at work', () => log.length > before + 200)
      await fleet.nginx.reload()
    }
    const before = log.length
    await until('clients are still at work', () => log.length > before + 200)
    load.stopped = true
    await Promise.all(clients)
    judge(t, fleet, log)
  })

  t.test('a reload takes over what was rendered since', async t => {
    const fleet = await startFleet(t)
    t.equal(await fleet.render('--write-mode', 'redirect', '--reload'), 0)
    await until('the new write mode holds', async () => {
      return (await once(fleet, { method: 'DELETE', path: '/key/a', agent: false })).status === 307
    })
  })
}

function judge(t: Test, fleet: Fleet, log: readonly Sent[]): void {
  const arrivals = [...fleet.local.arrivals, ...fleet.one.arrivals]
  const times = new Map<string, number>()
  for (const { headers } of arrivals) {
    const id = String(headers['x-test-id'])
    times.set(id, (times.get(id) ?? 0) + 1)
  }
  const failed = log.filter(sent => sent.status === 0)
  t.comment(`${log.length} requests, ${failed.length} of them met a closing connection`)
  t.strictSame(
    log.filter(sent => sent.status !== 0 && sent.status !== 200),
    [],
    'no other status than 200',
  )
  const fresh = failed.filter(sent => !sent.reused)
  t.ok(fresh.length <= RELOADS * CLIENTS, `${fresh.length} of them a new one`)
  t.strictSame(
    failed.filter(sent => times.has(sent.id)),
    [],
    'no agent has seen a request that failed',
  )
  t.strictSame(
    log.filter(sent => sent.status === 200 && times.get(sent.id) !== 1),
    [],
    'each answered request reached an agent once',
  )
  t.strictSame(fleet.nginx.complaints(), [])
}

/** Sends one request after another, and each again, at once and on a new connection, that met a closing one. */
async function client(
  fleet: Fleet,
  load: { readonly stopped: boolean },
  { at, log }: { at: number; log: Sent[] },
): Promise<void> {
  const kept = new http.Agent({ keepAlive: true, maxSockets: 1 })
  for (let count = 0; !load.stopped; count++) {
    const write = count % 2 === 0
    const wanted = write
      ? { method: 'POST', path: '/key' }
      : { method: 'GET', path: `/key/${'k'.repeat(count % 9)}k` }
    const id = `${at}-${count}`
    const sent = await once(fleet, { ...wanted, agent: kept, headers: { 'X-Test-Id': id } })
    log.push({ ...sent, id })
    for (let last: Sent = { ...sent, id }; last.status === 0 && !load.stopped; ) {
      const again = `${last.id}-again`
      const headers = { 'X-Test-Id': again }
      last = { ...(await once(fleet, { ...wanted, agent: false, headers })), id: again }
      log.push(last)
    }
  }
  kept.destroy()
}

function once(fleet: Fleet, options: http.RequestOptions): Promise<Omit<Sent, 'id'>> {
  return new Promise(resolve => {
    const request = http.request({ ...options, host: '127.0.0.1', port: fleet.port })
    let status = 0
    request.on('response', response => {
      status = response.statusCode ?? 0
      response.resume()
      response.on('end', () => resolve({ status, reused: request.reusedSocket }))
      // an answer cut short is none of the promised things: told as a status that no test allows
      response.on('error', () => resolve({ status: -1, reused: request.reusedSocket }))
    })
    request.on('error', () => {
      if (status === 0) resolve({ status: 0, reused: request.reusedSocket })
    })
    request.end(options.method === 'POST' ? '{"k":"v"}' : undefined)
  })
}
