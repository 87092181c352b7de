/** The renderer with a real nginx: what it puts in place, and that a fault leaves the old files alone. */

import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import { findJsModule } from '../../../agent/src/gateway/nginx-binary.ts'
import { main } from '../../../agent/src/gateway/render-main.ts'
import {
  ENGINE,
  type Fleet,
  freePort,
  leaderOf,
  NGINX,
  Nginx,
  startFleet,
  temporaryFolder,
  until,
} from './fleet.ts'
import { NameServer } from './name-server.ts'
import { request, send } from './raw-client.ts'

export function rendering(t: Test): void {
  t.test('members given by name: nginx starts though none of them resolves', async t => {
    const fleet = await startFleet(t)
    const nodes = [fleet.local.address, 'agent1.nowhere.invalid:1', 'agent2.nowhere.invalid:1']
    rewrite(fleet, nodes)
    t.equal(await fleet.render('--resolver', '127.0.0.1'), 0)
    await fleet.nginx.reload()
    fleet.local.belief = {
      ...fleet.local.belief,
      leader: { ...leaderOf(fleet.one), http: 'agent1.nowhere.invalid:1' },
    }
    const answer = await send(fleet.port, request('DELETE', '/key/a'))
    t.equal(answer.status, 503)
    t.match(JSON.parse(answer.body), { code: 'NO_LEADER' })
    t.equal((await send(fleet.port, request('GET', '/key/a'))).status, 200, 'reads need no names')
  })

  t.test(
    'members given by name: a name that resolves later is followed, without a reload',
    async t => {
      const fleet = await startFleet(t)
      const names = await NameServer.start(t)
      rewrite(fleet, [fleet.local.address, `agent1.test:${fleet.one.port}`, fleet.two.address])
      t.equal(await fleet.render('--resolver', `127.0.0.1:${names.port}`), 0)
      await fleet.nginx.reload()
      fleet.local.belief = {
        ...fleet.local.belief,
        leader: { ...leaderOf(fleet.one), http: `agent1.test:${fleet.one.port}` },
      }
      const remove = () => send(fleet.port, request('DELETE', '/key/a'))
      t.equal((await remove()).status, 503, 'its container does not exist yet')
      names.known.set('agent1.test', '127.0.0.1')
      await until('the name is believed', async () => (await remove()).status === 200)
      t.equal(fleet.one.arrivals.length, 1)
    },
  )

  t.test('names that are found when rendering get kept connections', async t => {
    const fleet = await startFleet(t)
    rewrite(fleet, [fleet.local.address, `localhost.:${fleet.one.port}`, fleet.two.address])
    t.equal(await fleet.render(), 1, 'a trailing dot is no host name here')
    rewrite(fleet, [fleet.local.address, `localhost:${fleet.one.port}`, fleet.two.address])
    t.equal(await fleet.render(), 0)
    await fleet.nginx.reload()
    t.equal((await send(fleet.port, request('DELETE', '/key/a'))).status, 200)
    t.equal(fleet.one.arrivals.length, 1)
  })

  t.test('a rendering that nginx refuses changes nothing', async t => {
    const fleet = await startFleet(t)
    const before = contents(fleet.nginx.prefix)
    t.equal(await fleet.render('--bundle', '/nowhere/gateway.js'), 1)
    t.strictSame(contents(fleet.nginx.prefix), before)
    rewrite(fleet, [fleet.local.address, '127.0.0.1:1;}'])
    t.equal(await fleet.render(), 1)
    t.strictSame(contents(fleet.nginx.prefix), before)
    rewrite(fleet, [fleet.local.address, '127.0.0.1:1'])
    t.equal(await fleet.render('--check'), 0)
    t.strictSame(contents(fleet.nginx.prefix), before, '--check changes nothing')
  })

  dropIn(t)
}

function dropIn(t: Test): void {
  t.test('the drop-in serves beside an operator’s own locations', async t => {
    const fleet = await startFleet(t)
    const { folder, port, install } = await operator(t, fleet)
    t.equal(await install(), 0)
    t.notOk(readdirSync(folder).includes('.raft-nginx-staged'), 'nothing left behind')
    writeMain(folder, port, 'include snippets/raft-nginx/server.conf;')
    const nginx = await Nginx.start(folder, port)
    t.teardown(() => nginx.stop())
    t.equal((await send(port, request('GET', '/key/a.php'))).status, 200, 'not the operator’s .php')
    t.strictSame(fleet.local.arrivals.at(-1)?.target, '/key/a.php')
    t.equal((await send(port, request('DELETE', '/key/a'))).status, 200)
    t.equal((await send(port, request('GET', '/x.php'))).status, 204, 'the operator’s own')
    t.equal((await send(port, request('GET', '//key/a'))).status, 400, 'merge_slashes stays on')
    t.equal((await send(port, request('GET', '/v1/cluster/members'))).status, 403)
    t.equal((await send(port, request('GET', '/join'))).status, 404)
  })

  t.test('a drop-in that the operator’s nginx refuses is taken back', async t => {
    const fleet = await startFleet(t)
    const { folder, port, install } = await operator(t, fleet)
    t.equal(await install('--check'), 0)
    t.strictSame(readdirSync(path.join(folder, 'conf.d')), [], '--check leaves nothing')
    t.equal(await install(), 0)
    const before = contents(folder)
    writeMain(folder, port, 'include snippets/raft-nginx/server.conf; set $raft_broken;')
    t.equal(await install('--write-mode', 'redirect'), 1)
    t.strictSame(contents(folder), before)
  })
}

/** An nginx of somebody else's, with a location that would catch keys if it could. */
async function operator(t: Test, fleet: Fleet) {
  const folder = temporaryFolder(t)
  for (const name of ['conf.d', 'logs', 'snippets']) mkdirSync(path.join(folder, name))
  const port = await freePort()
  const config = path.join(folder, 'agent.json')
  cpSync(path.join(fleet.folder, 'agent.json'), config)
  writeMain(folder, port, '')
  const install = (...args: string[]) =>
    main([
      ...['--config', config, '--drop-in', folder, '--nginx', NGINX, ...ENGINE],
      ...['--cache', path.join(folder, 'cache'), ...args],
    ])
  return { folder, port, install }
}

function writeMain(folder: string, port: number, line: string): void {
  const module = findJsModule(NGINX)
  const load = module === null ? '' : `load_module ${module};`
  const text = `${load} pid ${folder}/nginx.pid; error_log ${folder}/logs/error.log;
    ${process.getuid?.() === 0 ? 'user root;' : ''} events {} http { access_log off;
    client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
    fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
    include conf.d/*.conf;
    server { listen 127.0.0.1:${port}; location ~ \\.php$ { return 204; } ${line} } }`
  writeFileSync(path.join(folder, 'nginx.conf'), text)
}

function rewrite(fleet: Fleet, addresses: readonly string[]): void {
  const nodes = addresses.map((address, at) => ({ id: `node${at}`, address }))
  const server = { socket: path.join(fleet.folder, 'node0.sock') }
  const file = path.join(fleet.folder, 'agent.json')
  writeFileSync(file, JSON.stringify({ node_id: 'node0', nodes, server }))
}

/** Rendered files and their texts; nothing else may remain either. */
function contents(folder: string): ReadonlyArray<readonly [string, string]> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names
    .filter(name => /(conf\.d|snippets|staged)/.test(name) && name.endsWith('.conf'))
    .sort()
    .map(name => [name, readFileSync(path.join(folder, name), 'utf8')] as const)
}
