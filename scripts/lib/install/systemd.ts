/** What systemd is told, where it runs: not in a chroot or container, where nobody would answer `systemctl`. */

import { existsSync, statSync } from 'node:fs'
import { must, run } from './programs.ts'
import { actStep, afterUndo, type Step } from './steps.ts'

/** Why its steps are left out; null where it runs. systemd's own sd_booted(3) looks at the same folder. */
export function whyNoSystemd(live: boolean): string | null {
  if (!live) return 'not with --root'
  return existsSync('/run/systemd/system') ? null : 'systemd does not run here'
}

export class Systemd {
  readonly #why: string | null

  /** @param why it does not run; null where it does */
  constructor(why: string | null) {
    this.#why = why
  }

  get runs(): boolean {
    return this.#why === null
  }

  /** First of all steps: when they are undone, units are as they were, and what ran runs again as it was. */
  remember(units: readonly string[]): Step {
    if (!this.runs) return afterUndo(() => null)
    const ran = units.filter(unit => run('systemctl', ['is-active', '--quiet', unit]).ok)
    return afterUndo(() => {
      must('systemctl', ['daemon-reload'])
      if (ran.length === 0) return 'systemctl daemon-reload'
      must('systemctl', ['restart', ...ran])
      return `systemctl daemon-reload, restart ${ran.join(' ')}`
    })
  }

  reload(): Step {
    return this.#step(
      actStep('systemctl daemon-reload', () => must('systemctl', ['daemon-reload'])),
    )
  }

  /**
   * Enabled and running, started after the last change of what it was made of.
   * @param sources files
   */
  start(unit: string, sources: readonly string[]): Step[] {
    const tell = (verb: string) => must('systemctl', [verb, unit])
    const enable: Step = {
      what: `systemctl enable ${unit}`,
      holds: () => run('systemctl', ['is-enabled', '--quiet', unit]).ok,
      perform: () => tell('enable'),
      undo: () => {
        tell('disable')
        return `systemctl disable ${unit}`
      },
    }
    const restart: Step = {
      what: `systemctl restart ${unit}`,
      holds: () => startedAt(unit) > newest(sources),
      perform: () => tell('restart'),
      undo: () => {
        // what ran before is started again when its files are back
        tell('stop')
        return `systemctl stop ${unit}`
      },
    }
    return [this.#step(enable), this.#step(restart)]
  }

  /** Neither enabled nor running. @param file the unit's */
  stop(unit: string, file: string): Step {
    const enabled = () => run('systemctl', ['is-enabled', '--quiet', unit]).ok
    let back: string[] = []
    return this.#step({
      what: `systemctl disable --now ${unit}`,
      holds: () => !existsSync(file),
      perform: () => {
        back = enabled() ? ['enable', '--now', unit] : ['start', unit]
        must('systemctl', ['disable', '--now', unit])
      },
      undo: () => {
        must('systemctl', back)
        return `systemctl ${back.join(' ')}`
      },
    })
  }

  #step(step: Step): Step {
    return this.#why === null ? step : { ...step, leftOut: this.#why }
  }
}

/** Unix time in ms since which it is active; -Infinity when it is not. */
function startedAt(unit: string): number {
  if (!run('systemctl', ['is-active', '--quiet', unit]).ok) return -Infinity
  const wanted = ['show', '--value', '--property=ActiveEnterTimestampMonotonic', unit]
  const sinceBootUs = Number(run('systemctl', wanted).text.trim())
  if (!(sinceBootUs > 0)) return -Infinity
  const agoMs = Number(process.hrtime.bigint() / 1_000_000n) - sinceBootUs / 1000
  return Date.now() - agoMs
}

function newest(files: readonly string[]): number {
  return Math.max(...files.map(file => (existsSync(file) ? statSync(file).mtimeMs : Infinity)))
}
