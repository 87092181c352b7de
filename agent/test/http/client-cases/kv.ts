import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { base64, Caller, type ClientCase, indexOf, type Row, seen, tagOf } from './api.ts'

export const KV_CASES: readonly ClientCase[] = [
  {
    name: '/key: a write of all pairs, its reads, its end',
    run: async api => {
      const [a, b] = [`${api.prefix}a`, `${api.prefix}b/c`]
      const body = JSON.stringify({ [a]: '1', [b]: '€' })
      const written = await api.ask('POST /key', { body })
      deepEqual([written.status, written.body], [200, ''])
      const headers = [seen(written)]
      const shown = async (key: string, more: string, ...fields: string[]): Promise<unknown> => {
        const target = `GET /key/${encodeURIComponent(key)}${more}`
        return JSON.parse((await api.ask(target, { headers: fields })).body)
      }
      deepEqual(await shown(a, '', ...headers), { [a]: '1' })
      deepEqual(await shown(b, '?stale', ...headers), { [b]: '€' })
      deepEqual(await shown(b, '?consistent'), { [b]: '€' })
      deepEqual(await shown(`${api.prefix}none`, ''), { [`${api.prefix}none`]: '' })
      for (const _ of ['there', 'gone']) {
        equal((await api.ask(`DELETE /key/${encodeURIComponent(a)}`)).status, 200)
      }
      deepEqual(await shown(a, '?consistent'), { [a]: '' })
    },
  },
  {
    name: 'headers that are on every answer of an agent',
    run: async api => {
      const [key, kv] = [`/key/${encodeURIComponent(api.prefix)}a`, `/v1/kv/${api.prefix}a`]
      const lines = [`PUT ${kv}`, `GET ${kv}`, `GET ${key}`, `DELETE ${key}`, `GET ${kv}`]
      for (const line of [...lines, 'GET /v1/status/peers', 'GET /livez']) {
        const { headers } = await api.ask(line)
        for (const name of ['index', 'term']) match(headers.get(`x-raft-${name}`) ?? '', /^\d+$/)
        match(headers.get('x-raft-node') ?? '', /^node[0-2]$/, line)
        equal(headers.get('x-raft-served-by'), 'agent', line)
      }
    },
  },
  {
    name: '/v1/kv: a key as Consul shows it, and /key shows the same',
    run: async api => {
      const caller = new Caller(api)
      const written = await caller.put('a/b?flags=42', 'one')
      deepEqual([written.status, written.body], [200, 'true'])
      equal(written.headers.get('content-type'), 'application/json')
      const read = await caller.get('a%2Fb')
      const index = tagOf(written)
      const row = `"LockIndex":0,"Key":"${api.prefix}a/b","Flags":42,"Value":"b25l"`
      equal(read.body, `[{${row},"CreateIndex":${index},"ModifyIndex":${index}}]`)
      equal(indexOf(read), index)
      const known = read.headers.get('x-consul-knownleader') ?? ''
      match(known, api.steady ? /^true$/ : /^(?:true|false)$/)
      match(read.headers.get('x-consul-lastcontact') ?? '', /^\d+$/)
      equal(tagOf(read), index)
      equal((await api.ask(`HEAD /v1/kv/${api.prefix}a/b`)).status, 200)
      const key = `${api.prefix}a%2Fb?consistent`.replaceAll('/', '%2F')
      equal(
        (await api.ask(`GET /key/${key}`)).body,
        JSON.stringify({ [`${api.prefix}a/b`]: 'one' }),
      )
      const missing = await caller.get('none')
      deepEqual([missing.status, missing.body], [404, ''])
      ok(indexOf(missing) > 0)
      equal((await caller.put('empty')).body, 'true')
      equal((await caller.row('empty')).Value, null)
      await caller.put('empty', 'same')
      const { ModifyIndex } = await caller.row('empty')
      await caller.put('empty', 'same')
      equal((await caller.row('empty')).ModifyIndex, ModifyIndex, 'the same content is no change')
      equal((await caller.del('empty')).body, 'true')
      equal((await caller.get('empty')).status, 404)
    },
  },
  {
    name: 'cas: only from the index that was seen',
    run: async api => {
      const caller = new Caller(api)
      const first = await caller.put('k?cas=0', 'a')
      equal(first.body, 'true', '0: there must be none')
      equal((await caller.put('k?cas=0', 'b')).body, 'false')
      equal((await caller.put(`k?cas=${tagOf(first) + 1}`, 'b')).body, 'false')
      const second = await caller.put(`k?cas=${tagOf(first)}`, 'b')
      equal(second.body, 'true')
      equal((await caller.del(`k?cas=${tagOf(first)}`)).body, 'false')
      equal((await caller.del('k?cas=0')).body, 'false')
      equal((await caller.row('k')).Value, base64('b'))
      equal((await caller.del(`k?cas=${tagOf(second)}`)).body, 'true')
      equal((await caller.get('k')).status, 404)
    },
  },
  {
    name: 'preconditions by header answer 412, and 304 to a reader who has it',
    run: async api => {
      const caller = new Caller(api)
      const first = tagOf(await caller.put('k', 'a', 'If-None-Match: *'))
      equal((await caller.put('k', 'b', 'If-None-Match: *')).status, 412)
      equal((await caller.put('k', 'b', `If-Match: "${first + 1}"`)).status, 412)
      const second = tagOf(await caller.put('k', 'b', `If-Match: "${first}"`))
      equal((await caller.get('k', `If-None-Match: "${first}"`)).status, 200)
      const same = await caller.get('k', `If-None-Match: "${second}"`)
      deepEqual([same.status, same.body], [304, ''])
      equal((await caller.del('k', `If-Match: "${first}"`)).status, 412)
      equal((await caller.del('k', `If-Match: "${second}"`)).status, 200)
    },
  },
  {
    name: 'keys, recurse and separator; the index of a prefix counts what was deleted below it',
    run: async api => {
      const caller = new Caller(api)
      for (const key of ['a/b/c', 'a/b/d', 'a/e', 'az', 'b']) await caller.put(key, key)
      deepEqual(await caller.names('a/?keys'), ['a/b/c', 'a/b/d', 'a/e'])
      deepEqual(await caller.names('a/?keys&separator=/'), ['a/b/', 'a/e'])
      deepEqual(await caller.names('a?keys&separator=%2F'), ['a/', 'az'])
      const below = await caller.get('a/b?recurse')
      deepEqual(
        (JSON.parse(below.body) as Row[]).map(({ Value }) => Value),
        ['a/b/c', 'a/b/d'].map(base64),
      )
      for (const kind of ['keys', 'recurse']) equal((await caller.get(`zz?${kind}`)).status, 404)
      await caller.del('a/b/d')
      const after = indexOf(await caller.get('a/b?recurse'))
      ok(after > indexOf(below))
      equal((await caller.del('a?recurse')).body, 'true')
      deepEqual(await caller.names('?keys'), ['b'])
      ok(indexOf(await caller.get('a/b?recurse')) > after)
    },
  },
  {
    name: 'flags have 64 bits, raw has the bytes and the type that were written',
    run: async api => {
      const caller = new Caller(api)
      await caller.put('f?flags=18446744073709551615', 'v')
      match((await caller.get('f')).body, /"Flags":18446744073709551615,/)
      const image = Buffer.of(0x89, 0x50, 0, 0xff, 0x0d, 0x0a)
      await caller.put('%FF', image, 'Content-Type: image/png')
      const raw = await caller.get('%FF?raw')
      ok(raw.raw.endsWith(`\r\n\r\n${image.toString('latin1')}`))
      equal(raw.headers.get('content-type'), 'image/png')
    },
  },
  {
    name: 'txn: all or nothing, in one entry',
    run: async api => {
      const caller = new Caller(api)
      const Key = (name: string): string => `${api.prefix}${name}`
      const set = (name: string, more: object = {}): object => ({
        ...{ Verb: 'set', Key: Key(name), Value: base64(name) },
        ...more,
      })
      const good = await caller.txn(
        set('a', { Flags: 3 }),
        set('b'),
        { Verb: 'get', Key: Key('a') },
        { Verb: 'delete', Key: Key('b') },
        { Verb: 'check-not-exists', Key: Key('b') },
      )
      equal(good.status, 200)
      const { Results } = JSON.parse(good.body) as { Results: { KV: Row }[] }
      deepEqual(
        Results.map(({ KV }) => [KV.Key, KV.Value, KV.Flags]),
        [
          [Key('a'), null, 3],
          [Key('b'), null, 0],
          [Key('a'), base64('a'), 3],
        ],
      )
      equal(new Set(Results.map(({ KV }) => KV.ModifyIndex)).size, 1)
      const steps = [set('c'), set('a', { Verb: 'cas', Index: 1 }), { Verb: 'get', Key: Key('no') }]
      const bad = await caller.txn(...steps)
      equal(bad.status, 409)
      const { Errors } = JSON.parse(bad.body) as { Errors: { OpIndex: number }[] }
      deepEqual(
        Errors.map(({ OpIndex }) => OpIndex),
        [1, 2],
      )
      equal((await caller.get('c')).status, 404, 'what came before the failure is taken back')
      const tree = await caller.txn({ Verb: 'get-tree', Key: api.prefix })
      match(tree.body, new RegExp(`"Key":"${Key('a')}"`))
      equal((await caller.txn({ Verb: 'delete-tree', Key: api.prefix })).status, 200)
      equal((await caller.get('?keys')).status, 404)
    },
  },
]
