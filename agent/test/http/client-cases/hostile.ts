/** verification.md, section H, rows 13 and 36–41: what is hostile in the data, not in how it is sent. */
import { deepEqual, equal } from 'node:assert/strict'
import { Caller, type ClientCase } from './api.ts'

/** Of programs, of SQL, of patterns, and two forms of one letter. */
const NAMES = [
  ...['__proto__', 'constructor', '\u00e9', 'e\u0301'],
  ...["'; DROP TABLE kv;--", '"q"', '100%', '100x', 'a_b', 'axb', 'a*', '[a]'],
]

type Refused = readonly [line: string, status: number, body?: string | Buffer, header?: string]

function bodiesRefused(prefix: string): readonly Refused[] {
  const many = Array.from({ length: 1_001 }, (_, n) => `"${prefix}${n}":""`).join(',')
  const name = `"${prefix}k"`
  const bodies = [
    ...['{"__proto__":{"admin":true}}', `{${name}:{"admin":true}}`, `{${name}:"1",${name}:"2"}`],
    ...[`{${name}:${'['.repeat(100_000)}`, `{${many}}`, `{${name}:1e400}`],
    ...[`{${name}:9007199254740993}`, `\ufeff{${name}:"v"}`, `{${name}:"v",}`],
    ...['{"":"v"}', `{"${prefix}..":"v"}`, `{"${prefix}./a":"v"}`, `{"${prefix}\\u0000":"v"}`],
    ...[`{"${prefix}\\ud800":"v"}`, `{"${prefix}${'k'.repeat(513)}":"v"}`],
    ...[`{"${'a/'.repeat(255)}${prefix}":"v"}`, ' '.repeat(1_000_000)],
    Buffer.from(`{${name}:"v"}`, 'utf16le'),
    Buffer.from(`{${name}:"\xff"}`, 'latin1'),
  ]
  return bodies.map(body => ['POST /key', 400, body])
}

function othersRefused(prefix: string): readonly Refused[] {
  const at = `/v1/kv/${prefix}`
  const body = `{"${prefix}k":"v"}`
  return [
    ['POST /key', 415, body, 'Content-Encoding: gzip'],
    ['PUT /v1/txn', 415, '[]', 'Content-Encoding: gzip'],
    ['POST /key', 415, body, 'Content-Type: text/plain'],
    ['POST /key', 415, body, 'Content-Type: multipart/form-data; boundary=x'],
    ['POST /key', 415, body, 'Content-Type: application/json; charset=utf-7'],
    [`PUT ${at}k?cas=9007199254740992`, 400, 'v'],
    [`PUT ${at}k?cas=1%20OR%201=1`, 400, 'v'],
    [`DELETE ${at}k?cas=-1`, 400],
    ['GET /v1/watch?since=9007199254740992', 400],
  ]
}

export const HOSTILE_CASES: readonly ClientCase[] = [
  {
    name: 'rows 36, 37, 39, 40: odd names are data, kept byte by byte; nothing is a pattern',
    run: async api => {
      const caller = new Caller(api)
      const pairs = NAMES.map(name => [`${api.prefix}${name}`, `of ${name}`])
      const body = JSON.stringify(Object.fromEntries(pairs))
      equal((await api.ask('POST /key', { body })).status, 200)
      for (const name of NAMES) {
        equal((await caller.get(`${encodeURIComponent(name)}?raw`)).body, `of ${name}`)
      }
      equal((await caller.names('?keys')).length, NAMES.length, 'two forms are two keys')
      deepEqual(await caller.names('100%25?keys'), ['100%'])
      deepEqual(await caller.names('a_?keys'), ['a_b'])
      deepEqual(await caller.names('a*?keys'), ['a*'])
      equal((await caller.get('(x%2B)%2B$?keys')).status, 404)
      const cut = await caller.names('?keys&separator=(x%2B)%2B$')
      equal(cut.length, NAMES.length)
    },
  },
  {
    name: 'rows 13, 36–39, 41: what cannot be is refused, and nothing is written',
    run: async api => {
      for (const refused of [...bodiesRefused(api.prefix), ...othersRefused(api.prefix)]) {
        const [line, status, body = '', header] = refused
        const headers = header === undefined ? [] : [header]
        const answer = await api.ask(line, { body, headers })
        equal(answer.status, status, `${line} ${header ?? body.toString().slice(0, 60)}`)
      }
      equal((await api.ask(`GET /v1/kv/${api.prefix}?keys`)).status, 404)
      equal(({} as { admin?: boolean }).admin, undefined)
    },
  },
]
