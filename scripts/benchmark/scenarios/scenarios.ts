/** Runs what was asked for beside loads. */

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Options } from '../options.ts'
import { type Skipped, startPeers } from '../peers/clusters.ts'
import type { Bench } from '../run.ts'
import type { Sample } from '../summary.ts'
import {
  type BesideLoads,
  disk,
  failover,
  halfLoad,
  rollingRestart,
  watchers,
} from './beside-loads.ts'
import { SCENARIO_NAMES, type ScenarioName } from './names.ts'
import { million, SHAPES, type ShapedScenario, writesOfShape } from './other-shapes.ts'

const BESIDE: Readonly<
  Record<Exclude<ScenarioName, ShapedScenario>, (bench: BesideLoads) => Promise<Sample[]>>
> = { disk, failover, 'rolling-restart': rollingRestart, 'half-load': halfLoad, watchers }

/** What was found, and what failed: what one scenario fails at does not cost the figures of the others. */
export interface Beside {
  readonly samples: readonly Sample[]
  readonly failed: readonly Skipped[]
}

export function measureBesideLoads(bench: BesideLoads): Promise<Beside> {
  const names = wanted(bench.options).flatMap(name => (isShaped(name) ? [] : [name]))
  return eachOf(names, bench.say, name => BESIDE[name](bench))
}

/** Each with clusters of its own, whose data is gone when it has ended. */
export function measureOtherShapes(
  run: Omit<Bench, 'peers'> & { readonly directory: string },
): Promise<Beside> {
  return eachOf(wanted(run.options).filter(isShaped), run.say, async name => {
    const folder = join(run.directory, name)
    mkdirSync(folder)
    const options = shapedOptions(run.options, name)
    const peers = await startPeers(options, folder)
    try {
      const bench = { options, peers, load: run.load, say: run.say }
      return await (name === 'million' ? million(bench) : writesOfShape(name, bench))
    } finally {
      await peers.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  })
}

async function eachOf<Name extends ScenarioName>(
  names: readonly Name[],
  say: Bench['say'],
  measure: (name: Name) => Promise<readonly Sample[]>,
): Promise<Beside> {
  const samples: Sample[] = []
  const failed: Skipped[] = []
  for (const what of names) {
    try {
      samples.push(...(await measure(what)))
    } catch (error) {
      const reason = `failed: ${error instanceof Error ? error.message : error}`
      failed.push({ what, reason })
      say(`${what} ${reason}`)
    }
  }
  return { samples, failed }
}

function shapedOptions(options: Options, name: ShapedScenario): Options {
  const { targets, ...shape } = SHAPES[name]
  return {
    ...{ ...options, ...shape },
    targets: options.targets.filter(target => targets.some(one => one === target)),
    keys: name === 'million' ? options.million : options.keys,
  }
}

/** In the order of their names. */
function wanted({ scenarios }: Options): ScenarioName[] {
  return SCENARIO_NAMES.filter(name => scenarios.includes(name))
}

function isShaped(name: ScenarioName): name is ShapedScenario {
  return name in SHAPES
}
