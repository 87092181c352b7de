/**
 * `scripts/install` into a real nginx whose files lie in a folder of the test. Run by itself:
 * `npx tsx njs/test/gateway/installing.process.ts`. Prints TAP.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { hasSharedDict } from '../../../agent/src/gateway/edge-options.ts'
import { findJsModule } from '../../../agent/src/gateway/nginx-binary.ts'
import { end, postPairs } from './edge-cluster.ts'
import { freePort, NGINX, Nginx, temporaryFolder, until } from './fleet.ts'
import { request, send } from './raw-client.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

t.setTimeout(300_000)

/** An nginx that serves a page, and where everything else will go. */
async function machine(t: Test) {
  const root = temporaryFolder(t)
  const port = await freePort()
  const nginx = path.join(root, 'etc/nginx')
  for (const name of ['conf.d', 'sites', 'logs'])
    mkdirSync(path.join(nginx, name), { recursive: true })
  const module = findJsModule(NGINX)
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const lines = temporary.map(name => `${name}_temp_path ${root}/${name};`)
  writeFileSync(
    path.join(nginx, 'nginx.conf'),
    `${module === null ? '' : `load_module ${module};`} ${user} pid ${root}/nginx.pid;
    error_log ${nginx}/logs/error.log warn; events {}
    http { access_log off; ${lines.join(' ')} include conf.d/*.conf; include sites/*; }\n`,
  )
  const site = path.join(nginx, 'sites/default')
  const page = `# the server { of the shop\nserver {\n    listen 127.0.0.1:${port};\n    location = / { return 200 page; }\n}\n`
  writeFileSync(site, page)
  const http = await freePort()
  const node = {
    id: 'node0',
    address: `127.0.0.1:${http}`,
    raft_bind: `127.0.0.1:${await freePort()}`,
  }
  const config = path.join(root, 'mine.json')
  writeFileSync(config, JSON.stringify({ nodes: [node], log: { level: 'error' } }))
  const install = (...args: string[]) => {
    const loader = path.join(ROOT, 'node_modules/tsx/dist/loader.mjs')
    const own = ['--root', root, '--nginx', NGINX, '--site', site, ...args]
    const all = ['--import', loader, path.join(ROOT, 'scripts/install.ts'), ...own]
    const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8' })
    return { status, text: stdout + stderr }
  }
  return { root, nginx, port, site, config, install }
}

/** All there is but logs and what nginx itself makes: names and texts. */
function contents(root: string): ReadonlyMap<string, string> {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile() && !/usr\/share/.test(entry.parentPath))
  const names = files.map(entry => path.join(entry.parentPath, entry.name)).sort()
  const kept = names.filter(name => !/logs\/|nginx\.pid$|raft-nginx-cache|data\/|lib\//.test(name))
  return new Map(kept.map(name => [path.relative(root, name), readFileSync(name, 'utf8')]))
}

/** Folders and links that are ours. */
function folders(root: string): readonly string[] {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true })
  const names = entries
    .filter(entry => !entry.isFile())
    .map(entry => path.relative(root, path.join(entry.parentPath, entry.name)))
  return names.filter(name => /raft|nginx\.service/.test(name))
}

/** As systemd would start it. */
function startUnit(root: string, name = 'raft-nginx.service'): ChildProcess {
  const unit = readFileSync(path.join(root, 'etc/systemd/system', name), 'utf8')
  const [program = '', ...args] = (/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '').split(' ')
  const settings = [...unit.matchAll(/^Environment=(\w+)=(.*)$/gm)].map(([, name, value]) => [
    name,
    value,
  ])
  mkdirSync(path.join(root, 'var/lib/raft-nginx'), { recursive: true })
  const env = { ...process.env, ...Object.fromEntries(settings) }
  return spawn(program, args, { stdio: 'ignore', env })
}

t.test('a running nginx gets the gateway, and loses it again', async t => {
  const { root, nginx: folder, port, config, install } = await machine(t)
  const before = contents(root)
  const nginx = await Nginx.start(folder, port)
  t.teardown(() => nginx.stop())
  const page = async () => (await send(port, request('GET', '/'))).body
  t.equal(await page(), 'page')

  const dry = install('--config', config, '--dry-run')
  t.equal(dry.status, 0, dry.text)
  t.match(dry.text, 'would render')
  t.strictSame(contents(root), before, '--dry-run does nothing')

  const done = install('--config', config, '--structure')
  t.equal(done.status, 0, done.text)
  const agent = startUnit(root)
  t.teardown(() => end(agent))
  await until('writes are taken', async () => (await postPairs(port, { a: 'one' })).status === 200)
  t.equal((await send(port, request('GET', '/key/a'))).body, '{"a":"one"}')
  t.equal(await page(), 'page', 'and what was there before')
  if (hasSharedDict(NGINX, findJsModule(NGINX))) {
    await until('nginx has it', async () => {
      const { headers } = await send(port, request('GET', '/key/a?stale'))
      return headers.get('x-raft-served-by') === 'nginx'
    })
  }

  const companion = startUnit(root, 'raft-nginx-companion.service')
  t.teardown(() => end(companion))
  await until('releases have their place', () => existsSync(path.join(folder, 'raft-structure')))
  await end(companion)

  const installed = contents(root)
  const again = install()
  t.equal(again.status, 0, again.text)
  t.strictSame(contents(root), installed, 'once more changes nothing')
  t.match(again.text, 'nothing to do: copy the package')
  t.match(again.text, `running already: process ${agent.pid}\n`)
  await until('still so', async () => (await postPairs(port, { a: 'two' })).status === 200)

  const other = path.join(root, 'other.json')
  writeFileSync(other, readFileSync(config, 'utf8').replace('error', 'warn'))
  t.match(install('--config', other).text, 'stays')
  t.strictSame(contents(root).get('etc/raft-nginx/agent.json'), readFileSync(config, 'utf8'))

  const kept = contents(root)
  const refused = install('--uninstall', '--purge')
  t.match(refused, { status: 1, text: new RegExp(`process ${agent.pid} runs the agent`) })
  t.strictSame(contents(root), kept, 'not below an agent that runs')
  t.match(again.text, /left out: systemctl restart raft-nginx.service/)
  await end(agent)
  // of the operator's own, who has to take it away: without it nginx would not start
  const mine = path.join(folder, 'sites/mine')
  writeFileSync(mine, 'server { listen 127.0.0.1:1; include snippets/raft-nginx/server.conf; }\n')
  t.match(install('--uninstall'), { status: 1, text: /undo: put .*sites\/default back/ })
  rmSync(mine)
  t.strictSame(contents(root), kept, 'put back')
  const removed = install('--uninstall', '--purge')
  t.equal(removed.status, 0, removed.text)
  const left = new Map([...contents(root)].filter(([name]) => name !== 'other.json'))
  t.strictSame(left, before, 'all as it was')
  t.strictSame(folders(root), [])
  t.notOk(existsSync(path.join(root, 'usr/share/raft-nginx')))
  await until(
    'the gateway is gone',
    async () => (await send(port, request('GET', '/key/a'))).status === 404,
  )
  t.equal(await page(), 'page')
  t.equal(install('--uninstall').status, 0, 'once more')
  const alerts = nginx.complaints().filter(line => !line.includes('.sock failed'))
  t.strictSame(alerts, [])
})

t.test('where nginx refuses, everything is put back', async t => {
  const { root, site, config, install } = await machine(t)
  const page = readFileSync(site, 'utf8')
  // fine by itself, and not beside the gateway
  writeFileSync(
    site,
    page.replace('location = /', 'location = /status { return 204; } location = /'),
  )
  const before = contents(root)
  const refused = install('--config', config)
  t.equal(refused.status, 1)
  t.match(refused.text, 'duplicate location "/status"')
  t.strictSame(contents(root), before)
  t.strictSame(folders(root), [])
  t.match(refused.text, `undo: remove ${root}/etc/raft-nginx\n`)
  writeFileSync(site, 'server { nonsense; }\n')
  const broken = contents(root)
  t.equal(install('--config', config).status, 1, 'one that was broken before')
  t.strictSame(contents(root), broken)
  writeFileSync(site, page)
  writeFileSync(config, '{"nodes": []}')
  t.match(install('--config', config), { status: 1, text: /nodes/ })
})
