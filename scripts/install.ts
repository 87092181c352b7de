/** Puts the gateway into an nginx of this machine: see `USAGE`. */

import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { hasSharedDict } from '../agent/src/gateway/edge-options.ts'
import { findJsModule } from '../agent/src/gateway/nginx-binary.ts'
import { folderStep, processesOf, userStep } from './lib/install/account.ts'
import {
  checkNginx,
  type NginxPlace,
  reloadNginx,
  reloadStep,
  renderStep,
  siteStep,
} from './lib/install/nginx.ts'
import { forgetOldPackage, packageStep, STAMP } from './lib/install/package.ts'
import {
  agentByHand,
  agentUnitText,
  COMPANION_UNIT,
  companionCommand,
  companionUnitText,
  nginxUnitText,
  type Places,
  placesIn,
  tmpfilesText,
  UNIT,
  USER,
} from './lib/install/places.ts'
import { must, run } from './lib/install/programs.ts'
import { cleaning, type Removal, remainder, retreat } from './lib/install/removal.ts'
import {
  actStep,
  afterUndo,
  fileStep,
  messageOf,
  performAll,
  performEach,
  type Step,
  type StepOptions,
} from './lib/install/steps.ts'
import { Systemd, whyNoSystemd } from './lib/install/systemd.ts'
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
  --uninstall       take all of it away again, also the line in the site; configuration, data and user stay
  --purge           with --uninstall: configuration, data and user as well
  --root DIR        everything below DIR, for an nginx whose configuration is DIR/etc/nginx: no user is made, and
                    systemd is not told
  --nginx FILE      nginx's binary (default: /usr/sbin/nginx)

Doing it again does what is missing: a newer checkout replaces an older installation. nginx is tested before it is
reloaded; when it refuses, everything is put back. Where systemd does not run (a chroot, a container) its units are
written, nothing is started, and the command that starts the agent is said. Exit status: 0 done, 1 failed, 2 bad usage.
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
  readonly nginx: NginxPlace
  readonly systemd: Systemd
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
    const task = taskOf(line)
    if (line.uninstall) uninstall(task)
    else install(task)
    console.log(line['dry-run'] ? 'nothing was done' : 'done')
    return 0
  } catch (error) {
    console.error(`install: ${messageOf(error)}`)
    return 1
  }
}

/** @throws TypeError of what cannot be meant */
function parse(args: readonly string[]) {
  const { values } = parseArgs({ args: [...args], options: OPTIONS })
  if (values.purge && !values.uninstall) throw new TypeError('--purge is for --uninstall')
  return values
}

function taskOf(line: Line): Task {
  const root = line.root === undefined ? '' : realpathSync(line.root)
  const live = root === ''
  if (live && process.getuid?.() !== 0 && !line['dry-run']) throw new Error('only root can do that')
  const places = placesIn(root)
  const nginx = { binary: line.nginx, folder: places.nginx }
  const systemd = new Systemd(whyNoSystemd(live))
  return { line, places, nginx, systemd, live, group: groupOf(root) }
}

function optionsOf(line: Line): StepOptions {
  return { dryRun: line['dry-run'], say: text => console.log(text) }
}

function install(task: Task): void {
  const { line, places, systemd } = task
  const { steps, sources } = installation(task)
  const done = performAll(steps, optionsOf(line))
  if (line['dry-run']) return
  forgetOldPackage(places.share)
  if (!systemd.runs)
    console.log(
      startAdvice(
        task,
        done.some(step => sources.includes(step)),
      ),
    )
}

function uninstall({ line, places, nginx, systemd, live }: Task): void {
  const site = line.site === undefined ? null : resolve(line.site)
  const removal: Removal = { places, nginx, systemd, live, purge: line.purge, site }
  performAll(retreat(removal), optionsOf(line))
  performEach(cleaning(removal), optionsOf(line))
  const left = remainder(removal)
  if (left !== '') console.log(left)
}

/** `sources` are those of the steps after which what runs is of before. */
function installation(task: Task): { readonly steps: Step[]; readonly sources: Step[] } {
  const { line, places, nginx, systemd, live, group } = task
  if (live) checkNode()
  checkNginx(nginx)
  const text = configText(task)
  const { files, reload } = nginxSteps(task)
  const owner = live ? `${USER}:${group}` : null
  const sources = [packageStep(places.share), fileStep(places.config, text, 0o644)]
  const steps = [
    systemd.remember([UNIT, COMPANION_UNIT]),
    ...(live ? [userStep()] : []),
    ...sources,
    commandStep(places),
    fileStep(places.tmpfiles, tmpfilesText(places, group)),
    fileStep(places.nginxUnit, nginxUnitText(places)),
    fileStep(places.agentUnit, agentUnitText(places, { node: process.execPath, group })),
    folderStep(places.data, { mode: 0o700, owner, keeps: true }),
    folderStep(places.run, { mode: 0o750, owner, keeps: false }),
    ...files,
    systemd.reload(),
    ...systemd.start(UNIT, [join(places.share, STAMP), places.config, places.agentUnit]),
    reload,
    ...(line.structure ? companionSteps(task) : []),
  ]
  return { steps, sources }
}

/** The gateway's files, and the reload that comes when the agent is there. */
function nginxSteps(task: Task): { readonly files: Step[]; readonly reload: Step } {
  const { line, nginx, places } = task
  let reloaded = false
  const reload = reloadStep(nginx)
  const perform = () => {
    reload.perform()
    reloaded = true
  }
  const again = afterUndo(() => {
    if (!reloaded) return null
    reloadNginx(nginx)
    return 'reload nginx'
  })
  const site = line.site === undefined ? [] : [siteStep(nginx, resolve(line.site))]
  const render = renderStep(nginx.folder, renderArguments(task), places.caches)
  return { files: [again, render, ...site], reload: { ...reload, perform } }
}

function companionSteps({ line, places, systemd }: Task): Step[] {
  const text = companionUnitText(places, { node: process.execPath, nginx: line.nginx })
  const sources = [join(places.share, STAMP), places.config, places.companionUnit]
  return [
    fileStep(places.companionUnit, text),
    systemd.reload(),
    ...systemd.start(COMPANION_UNIT, sources),
  ]
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

/** @throws Error for one that the agent's user and unit could not run */
function checkNode(): void {
  if (!/^\/(?:root|home|run\/user)\//.test(process.execPath)) return
  throw new Error(
    `${process.execPath} is not for other users, and hidden from the unit: use a Node outside of home directories`,
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
  const undo = () => {
    rmSync(command, { force: true })
    return `remove ${command}`
  }
  return { ...link, undo }
}

function renderArguments({ line, places }: Task): string[] {
  const { share, config, nginx, run: folder } = places
  const sockets = ['--socket', `${folder}/agent.sock`, '--edge-socket', `${folder}/edge.sock`]
  const modes = ['--write-mode', line['write-mode'], '--write-rate', line['write-rate']]
  const able = line['edge-reads'] !== 'auto' || hasSharedDict(line.nginx, findJsModule(line.nginx))
  return [
    ...[join(share, 'agent/dist/gateway/render-main.js'), '--config', config, '--drop-in', nginx],
    ...['--nginx', line.nginx, ...sockets, ...modes],
    ...['--edge-reads', able ? line['edge-reads'] : 'off'],
    ...(places.cache === null ? [] : ['--cache', places.cache]),
  ]
}

/** What root does where systemd does not. */
function startAdvice({ line, places, group }: Task, changed: boolean): string {
  const node = process.execPath
  const running = processesOf(places)
  if (running.length > 0) {
    const those = `running already: process ${running.join(', ')}`
    return changed ? `${those}; end it and start it again` : those
  }
  const companion = companionCommand(places, { node, nginx: line.nginx })
  return [
    `nothing is started. Where systemd runs: systemctl enable --now ${UNIT}; without it, as root:`,
    `  ${agentByHand(places, { node, group })}`,
    ...(line.structure ? [`and the companion:\n  ${companion}`] : []),
  ].join('\n')
}

/** Debian's nginx has www-data, the one of nginx.org has nginx. */
function groupOf(root: string): string {
  const file = join(root === '' ? '/' : root, 'etc/nginx/nginx.conf')
  const user = existsSync(file)
    ? /^\s*user\s+(\S+?)(?:\s+(\S+))?\s*;/m.exec(readFileSync(file, 'utf8'))
    : null
  return user?.[2] ?? user?.[1] ?? 'www-data'
}
