import { deepEqual, equal } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { rowOf } from '../../agent/src/gateway/edge-rows.ts'
import { rowJson as agentRowJson } from '../../agent/src/http/consul/rows-json.ts'
import { aboutOf, putKvHeaders, putRawHeaders, rawOf, rowJson } from '../src/consul-row.ts'

const index = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const row = fc.record({
  value: fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.string({ unit: 'binary', maxLength: 20 }).map(text => new Uint8Array(Buffer.from(text))),
  ),
  createIndex: fc.oneof(fc.constant(5), index),
  modifyIndex: fc.oneof(fc.constant(5), index),
  lockIndex: fc.nat(3),
  flags: fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  session: fc.constantFrom('', '8a1c-77'),
  contentType: fc.constantFrom('', 'text/plain; charset=utf-8', 'a/b; x="1,2",', ','),
})

t.test('a row is shown as the agent shows it, byte for byte', async t => {
  fc.assert(
    fc.property(row, row => {
      const stored = rowOf(row.value, row)
      const about = aboutOf(stored)
      if (about === null) throw new Error('what was told is there')
      equal(`${rowJson('k"é', stored, about)}`, agentRowJson({ key: Buffer.from('k"é'), ...row }))
      equal(about.contentType, row.contentType)
      deepEqual(Buffer.from(rawOf(stored)), Buffer.from(row.value))
    }),
  )
  t.pass('for all of them')
})

t.test('what a row does not say is not made up', async t => {
  const plain = {
    value: Buffer.from('x'),
    ...{ createIndex: 1, modifyIndex: 2, lockIndex: 0 },
    ...{ flags: 0n, session: '', contentType: '' },
  }
  t.equal(aboutOf(rowOf(plain.value, null)), null)
  t.equal(aboutOf(rowOf(plain.value, { ...plain, contentType: 'text/\u00e9' })), null)
  t.match(aboutOf(rowOf(plain.value, plain)), { createIndex: '1', modifyIndex: '2' })
})

t.test('a leader of which nothing was heard lately is not called known', async t => {
  const about = aboutOf('u7\nx')
  if (about === null) throw new Error('it says an index')
  const out: Record<string, string> = {}
  putKvHeaders(out, about, 1_999)
  t.match(out, { 'X-Consul-KnownLeader': 'true', ETag: '"7"' })
  putKvHeaders(out, about, 2_000)
  t.match(out, { 'X-Consul-KnownLeader': 'false' })
  putRawHeaders(out, about)
  t.equal(out['Content-Type'], 'application/octet-stream')
})
