import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import {
  Companion,
  type Nginx,
  STRUCTURE_POINTS,
  type StructurePoint,
  type Tree,
} from '../../src/structure/companion.ts'
import type { Check, Reload } from '../../src/structure/nginx-control.ts'
import { ReleaseStore } from '../../src/structure/release-store.ts'

const LINK = 'raft-structure'

/** It reads what the link leads to when it starts and when it is told to, as nginx does. */
class FakeNginx implements Nginx {
  readonly checked: string[] = []
  readonly #link: string
  /** text of `http.d/a.conf` that it runs; null: none */
  runs: string | null = null
  alive = true
  reloads = 0
  /** what it has against any configuration */
  foreign: string | null = null
  included = true
  /** a socket that somebody else has */
  bindFails = false

  constructor(link: string) {
    this.#link = link
  }

  async check(directory: string): Promise<Check> {
    this.checked.push(basename(directory))
    if (!this.included) return { kind: 'unincluded' }
    if (this.foreign !== null) return { kind: 'refused', words: this.foreign }
    const text = textIn(directory)
    if (!text?.includes('bad')) return { kind: 'passed', warning: null }
    return { kind: 'refused', words: `[emerg] unknown "bad" in ${directory}/http.d/a.conf:1\n` }
  }

  async reload(): Promise<Reload> {
    if (!this.alive) return { kind: 'stopped' }
    this.reloads++
    if (this.bindFails) return { kind: 'refused', words: '[emerg] bind() failed' }
    this.start()
    return { kind: 'took' }
  }

  tell(): void {
    if (this.alive && !this.bindFails) this.start()
  }

  master(): number | null {
    return this.alive ? 1 : null
  }

  start(): void {
    this.alive = true
    this.runs = textIn(this.#link)
  }
}

function textIn(directory: string): string | null {
  try {
    return readFileSync(join(directory, 'http.d/a.conf'), 'utf8')
  } catch {
    return null
  }
}

class Crash extends Error {
  override readonly message = 'planned crash'
}

function ground(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'structure-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const link = join(directory, LINK)
  const nginx = new FakeNginx(link)
  const start = async (crashAt: StructurePoint | null = null) => {
    const companion = new Companion({
      prefix: () => 'nginx/',
      store: new ReleaseStore(join(directory, 'state'), link),
      nginx,
      link: LINK,
      now: () => 1,
      reach: point => {
        if (point === crashAt) throw new Crash()
      },
      onChange: () => {},
    })
    await companion.open()
    return companion
  }
  return { directory, link, nginx, start }
}

const tree = (index: number, text: string): Tree => ({
  index,
  rows: [{ key: 'nginx/http.d/a.conf', value: Buffer.from(text) }],
})

t.test('a first start includes nothing, then takes what comes', async t => {
  const { link, nginx, start } = ground(t)
  const companion = await start()
  t.match(readFileSync(join(link, 'http.conf'), 'utf8'), /include .*\/http\.d\/\*\.conf;/)
  t.match(companion.report(), { state: 'starting', index: null })
  t.equal(nginx.reloads, 0)
  await companion.take(tree(7, 'one {{dir}}'))
  t.match(companion.report(), { state: 'ok', index: 7, tried: 7, error: null })
  t.equal(nginx.runs, `one ${readlinkSync(link)}`)
  t.equal(statSync(join(link, 'http.d/a.conf')).mode & 0o777, 0o644)
})

t.test('the same content at another index is no reload, nor is a restart', async t => {
  const { nginx, start } = ground(t)
  const companion = await start()
  await companion.take(tree(7, 'one'))
  await companion.take(tree(9, 'one'))
  t.match(companion.report(), { state: 'ok', index: 9 })
  const second = await start()
  t.match(second.report(), { state: 'ok', index: 9 })
  await second.take(tree(9, 'one'))
  t.equal(nginx.reloads, 1)
})

t.test('what nginx refuses does not count for a moment, and is told with its key', async t => {
  const { link, nginx, start } = ground(t)
  const companion = await start()
  await companion.take(tree(7, 'one'))
  const before = readlinkSync(link)
  await companion.take(tree(8, 'bad'))
  t.match(companion.report(), {
    state: 'rejected',
    index: 7,
    tried: 8,
    error: '[emerg] unknown "bad" in nginx/http.d/a.conf:1',
  })
  t.equal(readlinkSync(link), before)
  t.equal(nginx.reloads, 1)
  await companion.take({ index: 9, rows: [{ key: 'nginx/x', value: Buffer.from('') }] })
  t.match(companion.report(), {
    state: 'rejected',
    index: 7,
    tried: 9,
    error: /none of the folders/,
  })
  await companion.take(tree(10, 'two'))
  t.match(companion.report(), { state: 'ok', index: 10, error: null })
  t.equal(nginx.runs, 'two')
})

t.test('a configuration that is broken without the change blames nobody', async t => {
  const { nginx, start } = ground(t)
  const companion = await start()
  await companion.take(tree(7, 'one'))
  nginx.foreign = '[emerg] somebody edited nginx.conf'
  await companion.take(tree(8, 'two'))
  t.match(companion.report(), {
    state: 'blocked',
    index: 7,
    tried: 8,
    error: /without this change/,
  })
  t.ok(companion.isUnsettled)
  nginx.foreign = null
  await companion.take(tree(8, 'two'))
  t.match(companion.report(), { state: 'ok', index: 8 })
})

t.test('an nginx that does not include it is no success', async t => {
  const { nginx, start } = ground(t)
  nginx.included = false
  const companion = await start()
  await companion.take(tree(7, 'one'))
  t.match(companion.report(), {
    state: 'blocked',
    index: null,
    error: /raft-structure\/http\.conf/,
  })
  const second = await start()
  t.match(second.report(), { state: 'starting', index: null })
})

t.test('a reload that does not take gives back what ran', async t => {
  const { link, nginx, start } = ground(t)
  const companion = await start()
  await companion.take(tree(7, 'one'))
  nginx.bindFails = true
  await companion.take(tree(8, 'two'))
  t.match(companion.report(), { state: 'rejected', index: 7, tried: 8, error: /bind/ })
  t.equal(textIn(link), 'one', 'an nginx that starts now has it too')
  nginx.bindFails = false
  await companion.take(tree(8, 'two'))
  t.match(companion.report(), { state: 'ok', index: 8 })
})

t.test('an nginx that does not run starts with it', async t => {
  const { nginx, start } = ground(t)
  nginx.alive = false
  const companion = await start()
  await companion.take(tree(7, 'one'))
  t.match(companion.report(), { state: 'stopped', index: 7 })
  nginx.start()
  companion.observe()
  t.match(companion.report(), { state: 'ok', index: 7, error: null })
  t.equal(nginx.runs, 'one')
})

t.test('a store that has gone back is not followed unless that is meant', async t => {
  const { nginx, start } = ground(t)
  const companion = await start()
  await companion.take(tree(7, 'one'))
  await companion.take(tree(3, 'old'))
  t.match(companion.report(), { state: 'blocked', index: 7, error: /--accept-older/ })
  t.equal(nginx.runs, 'one')
  companion.forget()
  await companion.take(tree(3, 'old'))
  t.match(companion.report(), { state: 'ok', index: 3 })
})

for (const point of STRUCTURE_POINTS) {
  t.test(
    `a crash at ${point} leaves one that was tested, and the next start finishes it`,
    async t => {
      const { link, nginx, start } = ground(t)
      const first = await start()
      await first.take(tree(7, 'one'))
      nginx.bindFails = point === 'returned'
      const second = await start(point)
      await t.rejects(second.take(tree(8, 'two')), /planned crash/)
      t.ok(['one', 'two'].includes(textIn(link) ?? ''), 'whole, and tested')
      nginx.bindFails = false
      // What runs now, and what an nginx that starts now would run.
      const third = await start()
      t.equal(nginx.runs, textIn(link))
      t.match(third.report(), { state: 'ok', index: textIn(link) === 'one' ? 7 : 8 })
      await third.take(tree(8, 'two'))
      t.match(third.report(), { state: 'ok', index: 8 })
      t.equal(nginx.runs, 'two')
      await third.take(tree(9, 'bad'))
      t.equal(textIn(link), 'two')
    },
  )
}

t.test('an interrupted write leaves nothing behind, and old releases go', async t => {
  const { directory, link, start } = ground(t)
  const companion = await start()
  const releases = join(directory, 'state/releases')
  symlinkSync('/nowhere', `${link}.new-1234`)
  symlinkSync('/nowhere', join(releases, '.new-1234'))
  for (let index = 1; index <= 20; index++) await companion.take(tree(index, `text ${index}`))
  t.equal(readdirSync(releases).filter(name => !name.startsWith('.')).length, 6)
  const again = await start()
  t.strictSame(readdirSync(directory).sort(), [LINK, 'state'])
  t.equal(readdirSync(releases).length, 6)
  t.match(again.report(), { state: 'ok', index: 20 })
})

t.test('what is no link of ours is left alone', async t => {
  const { link, start } = ground(t)
  writeFileSync(link, 'mine')
  await t.rejects(start(), /left alone/)
  t.equal(readFileSync(link, 'utf8'), 'mine')
})
