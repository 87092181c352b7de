import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { play, type Scenario } from './world.ts'

/** What `--shrink` printed of a bug that was found, and what it was. */
interface Found extends Scenario {
  readonly claim: string
  /** the promise that was broken */
  readonly broke: string
  /** the commit that mended it */
  readonly fixed: string
}

const DIRECTORY = join(import.meta.dirname, 'scenarios')

for (const name of readdirSync(DIRECTORY).sort()) {
  const scenario = JSON.parse(readFileSync(join(DIRECTORY, name), 'utf8')) as Found
  t.test(scenario.claim, async t => {
    t.equal(play(scenario).violation, null, name)
  })
}
