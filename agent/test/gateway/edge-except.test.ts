import t from 'tap'
import { withoutKeys } from '../../src/gateway/edge.ts'
import type { EdgeSource } from '../../src/gateway/edge-source.ts'
import type { ListedRow } from '../../src/machine/kv/row.ts'

const bytes = (text: string) => Buffer.from(text)
const row = (key: string) => ({ key: bytes(key) }) as unknown as ListedRow
const change = (key: string) => ({ key: bytes(key), value: null, row: null })

/** Two keys a page. */
function sourceOf(keys: readonly string[]): EdgeSource {
  return {
    since: () => 0,
    last: () => 9,
    read: after => (after < 0 ? null : [{ index: 9, changes: keys.map(change) }]),
    listen: () => () => {},
    page: async after => {
      const from = after === null ? 0 : keys.indexOf(Buffer.from(after).toString()) + 1
      return keys.slice(from, from + 2).map(row)
    },
    stalenessMs: () => 0,
    serves: () => true,
    open: () => ({ version: 0, open: null }),
  }
}

t.test('reserved keys reach nginx’s memory neither by a copy nor by a change', async t => {
  const keys = ['a', 'nginx', 'nginx/1', 'nginx/2', 'nginx/3', 'nginx/4', 'z']
  const source = withoutKeys(sourceOf(keys), bytes('nginx/'))
  const copied: string[] = []
  for (let after: Uint8Array | null = null; ; ) {
    const rows = await source.page(after)
    if (rows.length === 0) break
    copied.push(...rows.map(({ key }) => Buffer.from(key).toString()))
    after = rows.at(-1)?.key ?? null
  }
  t.strictSame(copied, ['a', 'nginx', 'z'], 'a page of nothing else does not end it')
  const changed = source.read(0)?.flatMap(({ changes }) => changes) ?? []
  t.strictSame(
    changed.map(({ key }) => Buffer.from(key).toString()),
    ['a', 'nginx', 'z'],
  )
  t.equal(source.read(-1), null, 'a gap stays one')
})
