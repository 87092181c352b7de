import { aboutOf, rawOf, rowJson } from '../../../njs/src/consul-row.ts'
import { decide, parseBrief, surelyUnsent } from '../../../njs/src/decide.ts'
import { canonical } from '../../../njs/src/dict.ts'
import { rowOf, spellingOf } from '../../src/gateway/edge-rows.ts'
import { percentDecode } from '../../src/http/percent.ts'
import type { Target } from './target.ts'

const BRIEF = {
  me: { id: 'node0' },
  leader: { id: 'node1', http: '10.0.0.1:8185', gateway: 'https://one.example/' },
}
/** What nginx takes into a variable, a header or an address. */
const SAFE = /^[\x21-\x7e]*$/

/** What nginx's script makes of what it is told. */
export function njsTargets(): readonly Target[] {
  const briefs = [
    BRIEF,
    { ...BRIEF, leader: null },
    { ...BRIEF, leader: { ...BRIEF.leader, gateway: null } },
  ]
  const keys = ['plain', 'a%2Fb', 'a%2fb~%7e', '%C3%A9', '%00x', 'a/b.c-d_e', '%25%2525', "a'b(c)"]
  const rows = [
    row('text'),
    row(''),
    row(Buffer.from([0xff, 0, 1])),
    row('x', 'me', 'text/plain, a'),
  ]
  return [
    {
      name: 'briefs',
      seeds: bytesOf(briefs.map(each => JSON.stringify(each))),
      take: takeBrief,
      width: 1,
    },
    { name: 'spellings', seeds: bytesOf(keys), take: takeSpelling, width: 1 },
    { name: 'rows', seeds: bytesOf(rows), take: takeRow, width: 1 },
    {
      name: 'bytes sent',
      seeds: bytesOf(['246 : 0', '0', '', '12, 0', '7']),
      take: takeSent,
      width: 1,
    },
  ]
}

function row(value: string | Buffer, session = '', contentType = ''): string {
  const about = { createIndex: 3, modifyIndex: 7, lockIndex: 1, flags: 5n, session, contentType }
  return rowOf(Buffer.from(value), about as never)
}

function bytesOf(texts: readonly string[]): Uint8Array[] {
  return texts.map(text => Buffer.from(text))
}

/** Whatever the agent answers, nothing reaches nginx that could end a header or an address. */
function takeBrief(bytes: Uint8Array): void {
  const brief = parseBrief(200, Buffer.from(bytes).toString())
  for (const mode of ['proxy', 'redirect']) {
    const question = { brief, mode, members: 'node1=10.0.0.1:8185', target: '/key/a%2Fb' }
    const route = decide(question)
    const told = route.kind === 'none' ? '' : route.kind === 'redirect' ? route.url : route.name
    if (!SAFE.test(told)) throw new Error(`a route to ${JSON.stringify(told)}`)
  }
}

/** Of what passes nginx's guard: both sides spell a key in the same way, once and for all. */
function takeSpelling(bytes: Uint8Array): void {
  const raw = Buffer.from(bytes).toString('latin1')
  if (!SAFE.test(raw)) return
  const key = percentDecode(raw)
  if (key === null) return
  const spelling = canonical(raw)
  if (spelling !== spellingOf(key)) throw new Error(`${raw}: ${spelling} and ${spellingOf(key)}`)
  if (canonical(spelling) !== spelling) throw new Error(`${raw}: spelt again it is another`)
}

/** The agent alone writes rows: what is none must not end the script, and what is one is read as it was written. */
function takeRow(bytes: Uint8Array): void {
  const text = Buffer.from(bytes).toString()
  const about = aboutOf(text)
  rawOf(text)
  if (about !== null) rowJson('key', text, about)
  const stored = rowOf(bytes, null)
  if (!Buffer.from(rawOf(stored)).equals(bytes)) throw new Error('a value is read otherwise')
}

function takeSent(bytes: Uint8Array): void {
  const text = Buffer.from(bytes).toString()
  const last = text.split(/[,:]/).at(-1)?.trim()
  if (surelyUnsent(text) !== (last === '' || last === '0')) throw new Error(JSON.stringify(text))
}
