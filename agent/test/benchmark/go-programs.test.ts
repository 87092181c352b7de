import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { goInstalled, reasonOf } from '../../../scripts/benchmark/peers/go-programs.ts'

t.test('what was built once is not built again', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'raft-nginx-go-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'store'), '')
  const program = join(folder, 'store')
  t.same(goInstalled(folder, 'example.org/some/store@latest'), { program })
})

t.test('why it cannot be built is said without the address of a proxy', async t => {
  const said =
    'go: a.org/b@latest: module a.org/b: reading https://proxy.example/a/@v/list: 403\n\tserver'
  t.equal(reasonOf(said), 'a.org/b@latest: module a.org/b: reading 403 server')
  t.equal(reasonOf('', 'spawn ETIMEDOUT'), 'spawn ETIMEDOUT')
})
