/** Takes an installation away. */

import {
  existsSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { endedStep, removeUserStep } from './account.ts'
import {
  CONF,
  type NginxPlace,
  reloadNginx,
  reloadStep,
  removeLineStep,
  SNIPPETS,
  sitesIn,
  testStep,
} from './nginx.ts'
import { removePackage } from './package.ts'
import { COMPANION_UNIT, type Places, UNIT, USER } from './places.ts'
import { actStep, afterUndo, removeStep, type Step, takeFileStep } from './steps.ts'
import type { Systemd } from './systemd.ts'

export interface Removal {
  readonly places: Places
  readonly nginx: NginxPlace
  readonly systemd: Systemd
  /** this machine itself, not a directory */
  readonly live: boolean
  /** configuration, data and user too */
  readonly purge: boolean
  /** has the line; those that an installation marked are found */
  readonly site: string | null
}

/** Until nothing needs the installation any more, in an order in which nginx never names what is gone. */
export function retreat({ places, nginx, systemd, purge, site }: Removal): Step[] {
  const sites = new Set([...(site === null ? [] : [site]), ...sitesIn(nginx.folder)])
  let reloaded = false
  const reload = reloadStep(nginx)
  return [
    ...(systemd.runs ? [] : [endedStep(places)]),
    afterUndo(() => {
      if (!reloaded) return null
      reloadNginx(nginx)
      return 'reload nginx'
    }),
    systemd.stop(COMPANION_UNIT, places.companionUnit),
    ...[...sites].map(removeLineStep),
    takeFileStep(join(nginx.folder, CONF)),
    ...(purge ? [takeLinkStep(places.structureLink)] : []),
    testStep(nginx),
    {
      ...reload,
      perform: () => {
        reload.perform()
        reloaded = true
      },
    },
    systemd.stop(UNIT, places.agentUnit),
    ...(systemd.runs ? [endedStep(places)] : []),
  ]
}

/** What nothing needs any more. */
export function cleaning({ places, nginx, systemd, live, purge }: Removal): Step[] {
  const { companionUnit, agentUnit, nginxUnit, tmpfiles } = places
  const wanted = join(dirname(agentUnit), 'multi-user.target.wants')
  const enabled = [UNIT, COMPANION_UNIT].map(unit => join(wanted, unit)).filter(isThere)
  return [
    removeStep(join(nginx.folder, SNIPPETS)),
    // what `systemctl enable` made, where nobody runs who would undo it
    ...(systemd.runs ? [] : enabled.map(takeLinkStep)),
    ...[companionUnit, agentUnit, nginxUnit, tmpfiles].map(removeStep),
    removeEmptyStep(dirname(nginxUnit)),
    systemd.reload(),
    ...[places.command, places.run, ...places.caches.filter(existsSync)].map(removeStep),
    ...removePackage(places.share),
    ...(purge ? [dirname(places.config), places.data, places.structure].map(removeStep) : []),
    ...(purge && live ? [removeUserStep()] : []),
  ]
}

/** What stays without `purge`; '' when nothing does. */
export function remainder({ places, live, purge }: Removal): string {
  if (purge) return ''
  const paths = [dirname(places.config), places.data, places.structure, places.structureLink]
  const left = [...paths.filter(existsSync), ...(live ? [`the user ${USER}`] : [])]
  return left.length === 0 ? '' : `left for --purge: ${left.join(', ')}`
}

function takeLinkStep(link: string): Step {
  let target = ''
  return {
    what: `remove ${link}`,
    holds: () => !isThere(link),
    perform: () => {
      target = readlinkSync(link)
      rmSync(link)
    },
    undo: () => {
      symlinkSync(target, link)
      return `put ${link} back as it was`
    },
  }
}

/** Also a link that leads nowhere. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

function removeEmptyStep(folder: string): Step {
  const holds = () => !existsSync(folder) || readdirSync(folder).length > 0
  return actStep(`remove ${folder}`, () => rmdirSync(folder), holds)
}
