import { deepEqual, equal, match, ok } from 'node:assert/strict'
import type { Answer } from '../raw-client.ts'
import { base64, Caller, type ClientCase, indexOf, seen, tagOf } from './api.ts'
import { Follower } from './follower.ts'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export const OTHER_CASES: readonly ClientCase[] = [
  {
    name: 'sessions: made, shown, renewed, destroyed',
    run: async api => {
      const caller = new Caller(api)
      const id = await caller.session({ Name: 'mine', TTL: '1m30s', LockDelay: '5s' })
      match(id, UUID)
      const asked = async (line: string): Promise<Record<string, unknown>[]> =>
        JSON.parse((await api.ask(line)).body)
      const [shown] = await asked(`GET /v1/session/info/${id}`)
      deepEqual(
        ['ID', 'Name', 'TTL', 'LockDelay', 'Behavior'].map(name => shown?.[name]),
        [id, 'mine', '90s', 5e9, 'release'],
      )
      const list = await asked('GET /v1/session/list')
      deepEqual(
        list.filter(({ ID }) => ID === id),
        [shown],
      )
      deepEqual(await asked(`PUT /v1/session/renew/${id}`), [shown])
      for (const _ of ['there', 'gone']) {
        equal((await api.ask(`PUT /v1/session/destroy/${id}`)).body, 'true')
      }
      deepEqual(await asked(`GET /v1/session/info/${id}`), [])
      equal((await api.ask(`PUT /v1/session/renew/${id}`)).status, 404)
    },
  },
  {
    name: 'locks: one holder, a token that grows, let go or deleted with the session',
    run: async api => {
      const caller = new Caller(api)
      const first = await caller.session({ LockDelay: '0s' })
      const second = await caller.session({ LockDelay: '0s', Behavior: 'delete' })
      const taken = await caller.put(`l?acquire=${first}`, 'a')
      equal(taken.body, 'true')
      equal((await caller.put(`l?acquire=${second}`, 'b')).body, 'false')
      equal((await caller.put('l', 'anybody may write')).body, 'true')
      equal((await caller.row('l')).Session, first)
      equal((await caller.put(`l?release=${second}`)).body, 'false')
      equal((await caller.put(`l?release=${first}`, 'c')).body, 'true')
      equal((await caller.row('l')).Session, undefined)
      const next = await caller.put(`l?acquire=${second}`, 'd')
      ok(tagOf(next) > tagOf(taken), 'the fencing token')
      equal((await caller.row('l')).LockIndex, 2)
      equal((await caller.put('l?acquire=nobody', 'e')).status, 400)
      const Key = `${api.prefix}l`
      const Session = second
      equal((await caller.txn({ Verb: 'check-session', Key, Session })).status, 200)
      equal((await caller.txn({ Verb: 'lock', Key, Session: first })).status, 409)
      await api.ask(`PUT /v1/session/destroy/${second}`)
      equal((await caller.get('l')).status, 404, 'deleted with its holder')
      equal((await caller.put(`m?acquire=${first}`, 'v')).body, 'true')
      await api.ask(`PUT /v1/session/destroy/${first}`)
      equal((await caller.row('m')).Session, undefined, 'let go with its holder')
    },
  },
  {
    name: 'blocking queries: answered by the change that concerns them, else when the wait is over',
    run: async api => {
      const caller = new Caller(api)
      const index = tagOf(await caller.put('a/1', 'v'))
      const ended = await caller.get(`a/1?index=${index}&wait=20ms`)
      deepEqual([ended.status, indexOf(ended)], [200, index])
      const waiting = [
        caller.get(`a/1?index=${index}&wait=60s`),
        caller.get(`a/1?index=${index}&wait=60s&stale`),
        caller.get(`a?recurse&index=${index}&wait=60s`),
        caller.get(`a/?keys&index=${index}&wait=60s`),
      ]
      const changed = Promise.all(waiting)
      changed.catch(() => {}) // told below, if nothing else is before
      await caller.put('b', 'does not concern them')
      const next = tagOf(await caller.put('a/1', 'w'))
      for (const answer of await changed) equal(indexOf(answer), next)
      const gone = caller.get(`a/1?index=${next}&wait=60s`)
      gone.catch(() => {})
      await caller.del('a?recurse')
      equal((await gone).status, 404)
    },
  },
  {
    name: 'consistency: whoever is asked shows the write, by default or from its index on',
    run: async api => {
      const caller = new Caller(api)
      for (let n = 0; n < 5; n++) {
        const written = await caller.put('k', `${n}`)
        const least = seen(written)
        for (const target of ['k?raw', 'k?raw&consistent']) {
          equal((await caller.get(target)).body, `${n}`, target)
        }
        for (const target of ['k?raw&stale', 'k?raw&max_stale=20s']) {
          equal((await caller.get(target, least)).body, `${n}`, target)
        }
      }
      equal((await caller.get('k?stale&consistent')).status, 400)
      equal((await caller.get('k?max_stale=soon')).status, 400)
      equal((await caller.get('k', 'X-Raft-Min-Index: -1')).status, 400)
    },
  },
  {
    name: 'an Idempotency-Key: the first answer again, and one effect',
    run: async api => {
      const caller = new Caller(api)
      const field = `Idempotency-Key: ${api.prefix.replaceAll('/', '-')}`
      const again = (body: string): Promise<Answer> => caller.put('k?cas=0', body, field)
      equal((await again('a')).body, 'true')
      equal((await again('a')).body, 'true', 'not false, though the key is there')
      equal((await again('b')).status, 422)
      equal((await caller.row('k')).Value, base64('a'))
    },
  },
  {
    name: '/v1/watch: every change below the prefix, in order, each once; resumed behind what was seen',
    run: async api => {
      const caller = new Caller(api)
      const began = Number((await caller.put('before', 'v')).headers.get('x-raft-index'))
      const follower = new Follower(api, `?prefix=${api.prefix}w/`, began)
      try {
        await caller.put('w/1', 'one')
        await caller.put('elsewhere', 'v')
        await caller.put('w/1', 'one')
        const set = (name: string): object => ({
          ...{ Verb: 'set', Key: `${api.prefix}${name}`, Value: base64('two') },
        })
        await caller.txn(set('w/2'), set('w/3'), set('other'))
        follower.leave()
        await caller.del('w?recurse')
        await caller.put('w/4', 'four')
        await api.until('the last change is seen', () => follower.saw('w/4'))
      } finally {
        follower.stop()
      }
      const key = (name: string): string => `${api.prefix}${name}`
      deepEqual(follower.changes, [
        [['set', key('w/1')]],
        ['w/2', 'w/3'].map(name => ['set', key(name)]),
        ['w/1', 'w/2', 'w/3'].map(name => ['delete', key(name)]),
        [['set', key('w/4')]],
      ])
      ok(follower.resumed > 0)
    },
  },
  {
    name: 'status: who leads, who votes, who answers',
    run: async api => {
      const json = async (path: string): Promise<unknown> =>
        JSON.parse((await api.ask(`GET ${path}`)).body)
      const peers = (await json('/v1/status/peers')) as string[]
      equal(new Set(peers).size, 3)
      const none = api.steady ? [] : ['']
      ok([...none, ...peers].includes((await json('/v1/status/leader')) as string))
      const self = (await json('/v1/agent/self')) as { Member: { Name: string } }
      match(self.Member.Name, /^node[0-2]$/)
      const raft = (await json('/raft')) as { State: string; Node: string }
      equal(raft.Node, self.Member.Name)
      match(raft.State, /^(Leader|Follower|Candidate)$/)
      const status = (await json('/status')) as { me: { id: string }; members: unknown[] }
      deepEqual([status.me.id, status.members.length], [raft.Node, 3])
      for (const probe of ['/livez', '/readyz']) equal((await api.ask(`GET ${probe}`)).status, 200)
    },
  },
  {
    name: 'bad requests are refused, and nothing is written',
    run: async api => {
      const at = `/v1/kv/${api.prefix}`
      const refused: readonly (readonly [string, number, (string | Buffer)?, string?])[] = [
        ['GET /v1/kv/', 400],
        ['PUT /v1/kv/', 400, 'v'],
        [`PUT ${at}a%00b`, 400, 'v'],
        [`PUT ${at}a/../b`, 400, 'v'],
        [`PUT ${at}a%2F..%2Fb`, 400, 'v'],
        [`PUT ${at}${'k'.repeat(513)}`, 400, 'v'],
        [`PUT ${at}k?cas=-1`, 400, 'v'],
        [`PUT ${at}k?flags=x`, 400, 'v'],
        [`PUT ${at}k?ttl=10`, 400, 'v'],
        [`PUT ${at}k?acquire=a&release=b`, 400, 'v'],
        [`PUT ${at}k`, 400, 'v', 'If-Match: 1'],
        [`PUT ${at}k`, 415, 'v', 'Content-Encoding: gzip'],
        [`PUT ${at}k`, 413, Buffer.alloc(512 * 1024 + 1)],
        [`DELETE ${at}?recurse&cas=1`, 400],
        [`GET ${at}k?index=1&wait=soon`, 400],
        [`POST ${at}k`, 405, 'v'],
        ['PUT /v1/txn', 400, '[]'],
        ['PUT /v1/txn', 400, '[{"KV":{"Verb":"constructor","Key":"k"}}]'],
        ['PUT /v1/session/create', 400, '{"TTL":"9s"}'],
        ['POST /key', 400, '[]'],
        ['POST /key', 400, `{"${api.prefix}k":1}`],
        [`PUT /key/k`, 405, 'v'],
        ['GET /v1/watch?since=x', 400],
      ]
      for (const [line, status, body = '', ...headers] of refused) {
        const answer = await api.ask(line, { body, headers: headers.filter(h => h !== undefined) })
        equal(answer.status, status, line.slice(0, 80))
      }
      equal((await api.ask(`GET ${at}?keys`)).status, 404)
    },
  },
]
