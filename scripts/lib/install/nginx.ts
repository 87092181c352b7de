/** The operator's nginx: what is asked of it, and what it gets. */

import { existsSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { findJsModule, runNginx } from '../../../agent/src/gateway/nginx-binary.ts'
import { must } from './programs.ts'
import { hasInclude, isMarked, withInclude, withoutInclude } from './site.ts'
import { actStep, putBack, replaceFile, type Step } from './steps.ts'

export interface NginxPlace {
  readonly binary: string
  /** where nginx.conf is */
  readonly folder: string
}

/** What the renderer puts there. */
export const CONF = 'conf.d/raft-nginx.conf'
export const SNIPPETS = 'snippets/raft-nginx'

/** @throws Error for one that cannot have the gateway */
export function checkNginx(place: NginxPlace): void {
  const { binary, folder } = place
  const { ok, text } = runNginx(binary, ['-v'])
  const version = /nginx\/(\d+)\.(\d+)/.exec(text)
  if (!ok || version === null) throw new Error(`${binary}: ${text.trim() || 'no nginx'}`)
  const [, major = '0', minor = '0'] = version
  if (Number(major) === 1 && Number(minor) < 22)
    throw new Error(`${text.trim()}: 1.22 or later is needed`)
  if (findJsModule(binary) === null)
    throw new Error('njs is missing: apt-get install libnginx-mod-http-js')
  if (!existsSync(join(folder, 'nginx.conf'))) throw new Error(`no ${folder}/nginx.conf`)
  testNginx(place)
}

/** @throws Error with what nginx says of its configuration as it is */
function testNginx(place: NginxPlace): void {
  const fault = faultOf(place)
  if (fault !== null) throw new Error(`nginx refuses its configuration:\n${fault}`)
}

/** What nginx says of a configuration that it refuses, or null. */
function faultOf({ binary, folder }: NginxPlace): string | null {
  const { ok, text } = runNginx(binary, ['-t', '-q', '-c', join(folder, 'nginx.conf')])
  return ok ? null : text.trim()
}

/** Does not fail where nginx is gone, nor where it refused already before. */
export function testStep(place: NginxPlace): Step {
  const here = existsSync(place.binary) && existsSync(join(place.folder, 'nginx.conf'))
  const before = here ? faultOf(place) : null
  if (!here) return { ...actStep('test nginx', () => {}), leftOut: 'it is not here' }
  if (before !== null)
    return { ...actStep('test nginx', () => {}), leftOut: `it refused already before: ${before}` }
  return actStep('test nginx', () => testNginx(place))
}

/** Nothing where it does not run. */
export function reloadStep(place: NginxPlace): Step {
  const step = actStep('reload nginx, where it runs', () => reloadNginx(place))
  return existsSync(place.binary) ? step : { ...step, leftOut: 'it is not here' }
}

/** @throws Error with what nginx says */
export function reloadNginx({ binary, folder }: NginxPlace): void {
  const { ok, text } = runNginx(binary, ['-s', 'reload', '-c', join(folder, 'nginx.conf')])
  // its pid file is empty, missing, or of an nginx that was killed
  const none = /invalid PID number|open\(\) ".*" failed \(2|kill\(\d+, 1\) failed \(3/
  if (!ok && !none.test(text)) throw new Error(text.trim())
}

/**
 * The renderer itself tests, and puts back what was there when nginx refuses.
 * @param args of the renderer
 * @param caches that nginx makes, even when it only tests
 */
export function renderStep(
  folder: string,
  args: readonly string[],
  caches: readonly string[],
): Step {
  let before = new Map<string, string>()
  return {
    what: `render ${folder}/${CONF} and ${SNIPPETS}/`,
    holds: () => false,
    perform: () => {
      before = rendered(folder)
      must(process.execPath, args)
    },
    undo: () => {
      const ours = [CONF, SNIPPETS].map(name => join(folder, name))
      const gone = before.size === 0 ? [...ours, ...caches] : ours
      for (const path of gone) rmSync(path, { recursive: true, force: true })
      for (const [file, text] of before) putBack(file, text)
      return `${before.size === 0 ? 'remove' : 'put back'} ${folder}/${CONF} and ${SNIPPETS}/`
    },
  }
}

function rendered(folder: string): Map<string, string> {
  const snippets = join(folder, SNIPPETS)
  const names = existsSync(snippets) ? readdirSync(snippets) : []
  const files = [join(folder, CONF), ...names.map(name => join(snippets, name))]
  return new Map(files.filter(existsSync).map(file => [file, readFileSync(file, 'utf8')]))
}

export function siteStep(place: NginxPlace, site: string): Step {
  let before = ''
  return {
    what: `include the gateway in ${site}`,
    holds: () => hasInclude(readFileSync(site, 'utf8')),
    perform: () => {
      before = readFileSync(site, 'utf8')
      replaceFile(realpathSync(site), withInclude(before), 0o644)
      try {
        testNginx(place)
      } catch (error) {
        putBack(realpathSync(site), before)
        throw error
      }
    },
    undo: () => putBack(realpathSync(site), before),
  }
}

export function removeLineStep(site: string): Step {
  const text = () => readFileSync(site, 'utf8')
  let before = ''
  return {
    what: `remove the line from ${site}`,
    holds: () => !existsSync(site) || withoutInclude(text()) === text(),
    perform: () => {
      before = text()
      replaceFile(realpathSync(site), withoutInclude(before), 0o644)
    },
    undo: () => putBack(realpathSync(site), before),
  }
}

/** Files below nginx's folder that have the line which an installation puts there. */
export function sitesIn(folder: string): string[] {
  if (!existsSync(folder)) return []
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .filter(file => isMarked(readFileSync(file, 'utf8')))
}
