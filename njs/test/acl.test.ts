import { equal } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { type AclSource, NO_ACL, SWITCH_KEY, tokenKey } from '../../agent/src/acl/acl.ts'
import { type Access, Rules } from '../../agent/src/acl/rules.ts'
import { ANONYMOUS, encodeSwitch, encodeToken } from '../../agent/src/acl/token.ts'
import { openTo } from '../../agent/src/gateway/edge-open.ts'
import { spellingOf } from '../../agent/src/gateway/edge-rows.ts'
import { mayAnswer, sendsToken } from '../src/acl.ts'

type RuleList = readonly { readonly prefix: string; readonly access: Access }[]

function row(key: Uint8Array, value: Uint8Array) {
  const indexes = { createIndex: 1, modifyIndex: 1, lockIndex: 0 }
  return { key, value, ...indexes, flags: 0n, session: '', contentType: '' }
}

/** Tokens count; whoever has none may do this. */
function sourceWith(rules: RuleList, enabled = true): AclSource {
  const anonymous = { version: 1, hash: '', name: '', role: 'client', expiresAt: null } as const
  const rows = [
    row(SWITCH_KEY, encodeSwitch(enabled)),
    row(tokenKey(ANONYMOUS), encodeToken({ ...anonymous, rules: [...rules] })),
  ]
  return { ...NO_ACL, rows: () => rows }
}

t.test('nginx shows a key to whom the agent would show it, and to nobody else', async t => {
  const text = fc.string({ unit: fc.constantFrom('a', '/', 'ü', '%', ' '), maxLength: 4 })
  const access = fc.constantFrom<Access>('deny', 'read', 'write')
  const rules = fc.array(fc.record({ prefix: text, access }), { maxLength: 6 })
  fc.assert(
    fc.property(rules, text, (list, key) => {
      const { open } = openTo(sourceWith(list))()
      const bytes = Buffer.from(key)
      equal(mayAnswer(open, spellingOf(bytes), false), new Rules(list).mayRead(bytes))
      equal(mayAnswer(open, spellingOf(bytes), true), false)
    }),
    { numRuns: 3_000 },
  )
  t.pass('3,000 lists')
})

t.test('where tokens do not count nginx shows all; where it is not known, nothing', async t => {
  t.equal(openTo(NO_ACL)().open, null)
  t.equal(openTo(sourceWith([], false))().open, null)
  t.ok(mayAnswer(null, 'a', true))
  const unreadable = () => {
    throw new Error('the machine is not open')
  }
  t.strictSame(openTo({ ...NO_ACL, rows: unreadable })().open, [])
  const many = Array.from({ length: 64 }, (_, at) => ({
    prefix: `${at}`.padEnd(100, 'x'),
    access: 'read' as const,
  }))
  t.strictSame(openTo(sourceWith(many))().open, [], 'too much to tell')
})

t.test('a token is sent in either header', async t => {
  t.ok(sendsToken({ 'X-Consul-Token': '' }))
  t.ok(sendsToken({ Authorization: 'Basic x' }))
  t.notOk(sendsToken({}))
})
