/** Puts the gateway into an nginx of this machine: see `USAGE`. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { hasSharedDict } from '../agent/src/gateway/edge-options.ts'
import { findJsModule, runNginx } from '../agent/src/gateway/nginx-binary.ts'
import { forgetOldPackage, packageStep } from './lib/install/package.ts'
import {
  agentUnitText,
  companionUnitText,
  nginxUnitText,
  type Places,
  placesIn,
  tmpfilesText,
  USER,
} from './lib/install/places.ts'
import { hasInclude, withInclude, withoutInclude } from './lib/install/site.ts'
import { actStep, fileStep, performAll, replaceFile, type Step } from './lib/install/steps.ts'
import { ROOT } from './lib/layout.ts'

const USAGE = `Puts the gateway into the nginx of this Debian or Ubuntu, and the agent beside it under systemd.

usage: install --config FILE [options]
       install --uninstall [--purge] [options]

  --config FILE     configuration of this node's agent, copied to /etc/raft-nginx/agent.json; one that is there and
                    differs stays, unless --replace-config is given too; without --config it is taken as it is
  --site FILE       the file of the server that is to have the gateway, usually /etc/nginx/sites-available/default:
                    its first server gets one line; without it you add that line yourself
  --write-mode MODE, --write-rate N, --edge-reads SIZE|off|auto (default auto): as nginx/render has them
  --structure       a companion too, which makes keys nginx's configuration: agent/docs/structure.md
  --dry-run         say what would be done
  --uninstall       take all of it away again, also the line in --site; configuration and data stay
  --purge           with --uninstall: configuration and data as well
  --root DIR        everything below DIR, for an nginx whose configuration is DIR/etc/nginx: no user is made, and
                    systemd is not told
  --nginx FILE      nginx's binary (default: /usr/sbin/nginx)

Doing it again does what is missing: a newer checkout replaces an older installation. nginx is tested before it is
reloaded; when it refuses, everything is put back. Exit status: 0 done, 1 failed, 2 bad usage.
`

const CLI = join(ROOT, 'agent/dist/cli/raft-nginx.js')

const OPTIONS = {
  config: { type: 'string' },
  'replace-config': { type: 'boolean', default: false },
  site: { type: 'string' },
  'write-mode': { type: 'string', default: 'proxy' },
  'write-rate': { type: 'string', default: '1000' },
  'edge-reads': { type: 'string', default: 'auto' },
  structure: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
  uninstall: { type: 'boolean', default: false },
  purge: { type: 'boolean', default: false },
  root: { type: 'string' },
  nginx: { type: 'string', default: '/usr/sbin/nginx' },
  help: { type: 'boolean', short: 'h', default: false },
} as const

type Line = ReturnType<typeof parse>

/** What all steps need to know. */
interface Task {
  readonly line: Line
  readonly places: Places
  /** this machine itself, not a directory */
  readonly live: boolean
  /** of nginx's workers */
  readonly group: string
}

process.exitCode = main(process.argv.slice(2))

function main(args: readonly string[]): number {
  let line: Line
  try {
    line = parse(args)
  } catch (error) {
    console.error(`install: ${messageOf(error)}\n\n${USAGE}`)
    return 2
  }
  if (line.help) {
    console.log(USAGE)
    return 0
  }
  try {
    const root = line.root === undefined ? '' : realpathSync(line.root)
    const task = { line, places: placesIn(root), live: root === '', group: groupOf(root) }
    if (task.live && process.getuid?.() !== 0 && !line['dry-run'])
      throw new Error('only root can do that')
    const options = { dryRun: line['dry-run'], say: (text: string) => console.log(text) }
    performAll(line.uninstall ? removal(task) : installation(task), options)
    if (!line.uninstall && !line['dry-run']) forgetOldPackage(task.places.share)
    console.log(line['dry-run'] ? 'nothing was done' : 'done')
    return 0
  } catch (error) {
    console.error(`install: ${messageOf(error)}`)
    return 1
  }
}

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS }).values
}

function installation(task: Task): Step[] {
  const { line, places, live, group } = task
  checkNginx(task)
  const text = configText(task)
  return [
    ...(live ? [userStep()] : []),
    packageStep(places.share),
    commandStep(places),
    fileStep(places.config, text, 0o644),
    fileStep(places.tmpfiles, tmpfilesText(places, group)),
    fileStep(places.nginxUnit, nginxUnitText(places)),
    fileStep(places.agentUnit, agentUnitText(places, { node: process.execPath, group })),
    runFolderStep(task),
    renderStep(task),
    ...(line.site === undefined ? [] : [siteStep(task, resolve(line.site))]),
    ...(live ? [systemctl(['daemon-reload']), systemctl(['enable', `${USER}.service`])] : []),
    ...(live ? [systemctl(['restart', `${USER}.service`])] : []),
    reloadStep(task),
    ...(line.structure ? companionSteps(task) : []),
  ]
}

function companionSteps({ line, places, live }: Task): Step[] {
  const unit = 'raft-nginx-companion.service'
  const text = companionUnitText(places, { node: process.execPath, nginx: line.nginx })
  const start = [['daemon-reload'], ['enable', unit], ['restart', unit]]
  return [fileStep(places.companionUnit, text), ...(live ? start.map(systemctl) : [])]
}

/** In an order in which nginx never names what is gone. */
function removal(task: Task): Step[] {
  const { line, places, live } = task
  const { nginx, config, data } = places
  const gone = (path: string) =>
    actStep(
      `remove ${path}`,
      () => rmSync(path, { recursive: true, force: true }),
      () => !existsSync(path),
    )
  const site = line.site === undefined ? [] : [removeLineStep(resolve(line.site))]
  const agent = existsSync(places.agentUnit) && live
  return [
    ...site,
    gone(join(nginx, 'conf.d/raft-nginx.conf')),
    actStep('test nginx', () => testNginx(task)),
    reloadStep(task),
    gone(join(nginx, 'snippets/raft-nginx')),
    ...(existsSync(places.companionUnit) && live
      ? [systemctl(['disable', '--now', 'raft-nginx-companion.service'])]
      : []),
    ...(agent ? [systemctl(['disable', '--now', `${USER}.service`])] : []),
    ...[places.companionUnit, places.agentUnit, places.nginxUnit, places.tmpfiles].map(gone),
    ...(live ? [systemctl(['daemon-reload'])] : []),
    ...[places.command, places.share, places.run].map(gone),
    ...(line.purge ? [gone(dirname(config)), gone(data)] : []),
  ]
}

/** @throws Error for one that cannot have the gateway */
function checkNginx({ line, places }: Task): void {
  const { ok, text } = runNginx(line.nginx, ['-v'])
  const version = /nginx\/(\d+)\.(\d+)/.exec(text)
  if (!ok || version === null) throw new Error(`${line.nginx}: ${text.trim() || 'no nginx'}`)
  const [, major = '0', minor = '0'] = version
  if (Number(major) === 1 && Number(minor) < 22)
    throw new Error(`${text.trim()}: 1.22 or later is needed`)
  if (findJsModule(line.nginx) === null) {
    throw new Error('njs is missing: apt-get install libnginx-mod-http-js')
  }
  if (!existsSync(join(places.nginx, 'nginx.conf')))
    throw new Error(`no ${places.nginx}/nginx.conf`)
  testNginx({ line, places })
}

/** @throws Error with what nginx says of its configuration as it is */
function testNginx({ line, places }: Pick<Task, 'line' | 'places'>): void {
  const { ok, text } = runNginx(line.nginx, ['-t', '-q', '-c', join(places.nginx, 'nginx.conf')])
  if (!ok) throw new Error(`nginx refuses its configuration:\n${text.trim()}`)
}

/** What the agent's configuration is to be. @throws Error when there is none, or another one and no word what to do */
function configText({ line, places }: Task): string {
  const there = existsSync(places.config) ? readFileSync(places.config, 'utf8') : null
  if (line.config === undefined) {
    if (there === null) throw new Error('--config FILE is needed; see --help')
    return there
  }
  const wanted = readFileSync(line.config, 'utf8')
  const check = run(process.execPath, [CLI, 'config', 'check', line.config])
  if (!check.ok) throw new Error(check.text.trim())
  if (there === null || there === wanted || line['replace-config']) return wanted
  console.log(
    `${places.config} differs from ${line.config} and stays: --replace-config takes the new one`,
  )
  return there
}

function userStep(): Step {
  const args = ['--system', '--no-create-home', '--home-dir', '/var/lib/raft-nginx']
  return actStep(
    `make the user ${USER}`,
    () => must('useradd', [...args, '--shell', '/usr/sbin/nologin', USER]),
    () => run('id', [USER]).ok,
  )
}

function commandStep({ command, share }: Places): Step {
  const target = join(share, 'agent/dist/cli/raft-nginx.js')
  const link = actStep(
    `link ${command}`,
    () => {
      mkdirSync(dirname(command), { recursive: true })
      rmSync(command, { force: true })
      symlinkSync(target, command)
      must('chmod', ['755', target])
    },
    () => existsSync(command) && realpathSync(command) === realpathSync(target),
  )
  return { ...link, undo: () => rmSync(command, { force: true }) }
}

function runFolderStep({ places, live, group }: Task): Step {
  const { run: folder } = places
  const make = actStep(
    `make ${folder}`,
    () => {
      mkdirSync(folder, { recursive: true })
      must('chmod', ['750', folder])
      if (live) must('chown', [`${USER}:${group}`, folder])
    },
    () => existsSync(folder),
  )
  return { ...make, undo: () => rmSync(folder, { recursive: true, force: true }) }
}

/** The renderer itself tests, and puts back what was there when nginx refuses. */
function renderStep(task: Task): Step {
  const { line, places } = task
  const files = ['conf.d/raft-nginx.conf', 'snippets/raft-nginx']
  const existed = files.some(name => existsSync(join(places.nginx, name)))
  return {
    what: `render ${places.nginx}/conf.d/raft-nginx.conf and snippets/raft-nginx/`,
    holds: () => false,
    perform: () => must(process.execPath, renderArguments(task)),
    undo: () => {
      // A newer version of it works without the rest of what was put in; the first one does not.
      if (!existed) for (const name of files) rmSync(join(places.nginx, name), { recursive: true })
      else console.log(`${line.nginx}: the rendered files stay as they are now, tested`)
    },
  }
}

function renderArguments({ line, places, live }: Task): string[] {
  const { share, config, nginx, run: folder } = places
  const sockets = ['--socket', `${folder}/agent.sock`, '--edge-socket', `${folder}/edge.sock`]
  const modes = ['--write-mode', line['write-mode'], '--write-rate', line['write-rate']]
  const able = line['edge-reads'] !== 'auto' || hasSharedDict(line.nginx, findJsModule(line.nginx))
  return [
    ...[join(share, 'agent/dist/gateway/render-main.js'), '--config', config, '--drop-in', nginx],
    ...['--nginx', line.nginx, ...sockets, ...modes],
    ...['--edge-reads', able ? line['edge-reads'] : 'off'],
    ...(live ? [] : ['--cache', join(dirname(folder), 'raft-nginx-cache')]),
  ]
}

function siteStep(task: Task, site: string): Step {
  let before = ''
  return {
    what: `include the gateway in ${site}`,
    holds: () => hasInclude(readFileSync(site, 'utf8')),
    perform: () => {
      before = readFileSync(site, 'utf8')
      replaceFile(realpathSync(site), withInclude(before), 0o644)
      try {
        testNginx(task)
      } catch (error) {
        replaceFile(realpathSync(site), before, 0o644)
        throw error
      }
    },
    undo: () => replaceFile(realpathSync(site), before, 0o644),
  }
}

function removeLineStep(site: string): Step {
  const text = () => readFileSync(site, 'utf8')
  return actStep(
    `remove the line from ${site}`,
    () => replaceFile(realpathSync(site), withoutInclude(text()), 0o644),
    () => !existsSync(site) || withoutInclude(text()) === text(),
  )
}

/** Nothing where it does not run. */
function reloadStep({ line, places }: Task): Step {
  const args = ['-s', 'reload', '-c', join(places.nginx, 'nginx.conf')]
  return actStep('reload nginx, where it runs', () => {
    const { ok, text } = runNginx(line.nginx, args)
    if (!ok && !/invalid PID number|open\(\) ".*" failed \(2/.test(text))
      throw new Error(text.trim())
  })
}

function systemctl(args: readonly string[]): Step {
  return actStep(`systemctl ${args.join(' ')}`, () => must('systemctl', args))
}

/** Debian's nginx has www-data, the one of nginx.org has nginx. */
function groupOf(root: string): string {
  const file = join(root === '' ? '/' : root, 'etc/nginx/nginx.conf')
  const user = existsSync(file)
    ? /^\s*user\s+(\S+?)(?:\s+(\S+))?\s*;/m.exec(readFileSync(file, 'utf8'))
    : null
  return user?.[2] ?? user?.[1] ?? 'www-data'
}

function run(program: string, args: readonly string[]) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  return { ok: status === 0, text: error?.message ?? `${stdout}${stderr}` }
}

function must(program: string, args: readonly string[]): void {
  const { ok, text } = run(program, args)
  if (!ok) throw new Error(`${program} ${args[0] ?? ''}: ${text.trim()}`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
