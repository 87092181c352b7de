/** Steps of `scripts/install`: done, left out, taken back; and what systemd is told, by a stand-in for `systemctl`. */

import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { folderStep } from '../../../scripts/lib/install/account.ts'
import {
  actStep,
  afterUndo,
  fileStep,
  performAll,
  performEach,
  removeStep,
  type Step,
  takeFileStep,
} from '../../../scripts/lib/install/steps.ts'
import { Systemd } from '../../../scripts/lib/install/systemd.ts'

const failing = actStep('fail', () => {
  throw new Error('no luck')
})

function perform(steps: readonly Step[], dryRun = false) {
  const said: string[] = []
  const options = { dryRun, say: (line: string) => void said.push(line) }
  try {
    return { said, done: performAll(steps, options).length, error: null }
  } catch (error) {
    return { said, done: 0, error: error instanceof Error ? error.message : error }
  }
}

t.test('what was done is taken back, last first, and says so', t => {
  const root = t.testdir({ old: 'mine', taken: 'here' })
  const at = (name: string) => join(root, name)
  const steps = [
    afterUndo(() => 'look again'),
    fileStep(at('new/folder/file'), 'ours'),
    fileStep(at('old'), 'ours'),
    takeFileStep(at('taken')),
    folderStep(at('data'), { mode: 0o700, owner: null, keeps: true }),
    folderStep(at('empty'), { mode: 0o700, owner: null, keeps: true }),
    folderStep(at('run'), { mode: 0o700, owner: null, keeps: false }),
    actStep('start', () => {
      for (const name of ['data', 'run']) writeFileSync(at(`${name}/file`), '')
    }),
  ]
  const { said, error } = perform([...steps, failing])
  t.equal(error, 'no luck')
  t.strictSame(said.slice(steps.length), [
    `undo: remove ${at('run')}`,
    `undo: remove ${at('empty')}`,
    `undo: leave ${at('data')}: there is data in it`,
    `undo: put ${at('taken')} back as it was`,
    `undo: put ${at('old')} back as it was`,
    `undo: remove ${at('new')}`,
    'undo: look again',
  ])
  t.strictSame(['new', 'empty', 'run', 'data/file'].map(at).map(existsSync), [
    ...[false, false, false],
    true,
  ])
  t.equal(readFileSync(at('old'), 'utf8'), 'mine')
  t.equal(readFileSync(at('taken'), 'utf8'), 'here')
  t.end()
})

t.test('one that cannot be taken back does not keep the others from it', t => {
  const root = t.testdir()
  const stuck: Step = {
    ...actStep('get stuck', () => {}),
    undo: () => {
      throw new Error('stuck')
    },
  }
  const { said, error } = perform([fileStep(join(root, 'file'), ''), stuck, failing])
  t.equal(error, 'no luck')
  t.strictSame(said.slice(3), [
    'could not undo: get stuck: stuck',
    `undo: remove ${join(root, 'file')}`,
  ])
  t.notOk(existsSync(join(root, 'file')))
  t.end()
})

t.test('a dry run does nothing, and what is left out is not even asked', t => {
  const root = t.testdir({ there: 'ours' })
  const asked: Step = {
    ...failing,
    leftOut: 'nobody here',
    holds: () => {
      throw new Error('asked')
    },
  }
  const steps = [fileStep(join(root, 'there'), 'ours'), fileStep(join(root, 'new'), ''), asked]
  const { said, error } = perform([...steps, failing], true)
  t.equal(error, null)
  t.strictSame(said, [
    `nothing to do: write ${join(root, 'there')}`,
    `would write ${join(root, 'new')}`,
    'left out: fail (nobody here)',
    'would fail',
  ])
  t.notOk(existsSync(join(root, 'new')))
  t.end()
})

t.test('cleaning goes on past what fails', t => {
  const root = t.testdir({ a: '', b: { c: '' } })
  const steps = [removeStep(join(root, 'a')), failing, removeStep(join(root, 'b'))]
  const options = { dryRun: false, say: () => {} }
  t.throws(() => performEach(steps, options), {
    message: 'could not fail: no luck\nall the rest is done',
  })
  t.notOk(existsSync(join(root, 'a')) || existsSync(join(root, 'b')))
  t.doesNotThrow(() => performEach([removeStep(join(root, 'a'))], options), 'nor past what is gone')
  t.end()
})

/** A `systemctl` that keeps its units' states as files, and what it was told. */
function standIn(t: Test) {
  const root = t.testdir({ bin: {}, active: {}, enabled: {} })
  const log = join(root, 'log')
  writeFileSync(log, '')
  const started = 'awk \'{ printf "%d\\n", $1 * 1000000 }\' /proc/uptime'
  writeFileSync(
    join(root, 'bin/systemctl'),
    `#!/bin/sh
cd '${root}'
for unit; do :; done
case $1 in
  is-active) [ -e "active/$unit" ]; exit ;;
  is-enabled) [ -e "enabled/$unit" ]; exit ;;
  show) cat "active/$unit"; exit ;;
esac
echo "$*" >>log
[ ! -e "fails-$1" ] || { echo "cannot $1"; exit 1; }
case $1 in
  enable) : >"enabled/$unit"; [ "$2" != --now ] || ${started} >"active/$unit" ;;
  disable) rm -f "enabled/$unit"; [ "$2" != --now ] || rm -f "active/$unit" ;;
  start|restart) ${started} >"active/$unit" ;;
  stop) rm -f "active/$unit" ;;
esac
`,
    { mode: 0o755 },
  )
  const { PATH } = process.env
  Object.assign(process.env, { PATH: `${join(root, 'bin')}:${PATH}` })
  t.teardown(() => Object.assign(process.env, { PATH }))
  const told = () => {
    const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1)
    writeFileSync(log, '')
    return lines
  }
  const source = join(root, 'source')
  const touch = (agoSeconds: number) => {
    writeFileSync(source, '')
    utimesSync(source, Date.now() / 1000 - agoSeconds, Date.now() / 1000 - agoSeconds)
  }
  touch(60)
  return { root, told, source, touch }
}

t.test('a unit is started, and again only when it is older than what it is made of', t => {
  const { told, source, touch, root } = standIn(t)
  const systemd = new Systemd(null)
  const steps = () => [
    systemd.remember(['a.service']),
    systemd.reload(),
    ...systemd.start('a.service', [source]),
  ]
  perform(steps())
  t.strictSame(told(), ['daemon-reload', 'enable a.service', 'restart a.service'])
  perform(steps())
  t.strictSame(told(), ['daemon-reload'])
  touch(-60)
  perform(steps())
  t.strictSame(told(), ['daemon-reload', 'restart a.service'])
  t.equal(perform([...steps(), failing]).error, 'no luck')
  t.strictSame(told().slice(-3), ['stop a.service', 'daemon-reload', 'restart a.service'])
  rmSync(join(root, 'active/a.service'))
  rmSync(join(root, 'enabled/a.service'))
  writeFileSync(join(root, 'fails-restart'), '')
  t.equal(perform(steps()).error, 'systemctl restart: cannot restart')
  t.strictSame(told().slice(-2), ['disable a.service', 'daemon-reload'], 'it did not run before')
  t.end()
})

t.test('a unit is stopped where there is one, and comes back', t => {
  const { told, source, root } = standIn(t)
  const systemd = new Systemd(null)
  perform(systemd.start('a.service', [source]))
  told()
  perform([systemd.stop('a.service', source), failing])
  t.strictSame(told(), ['disable --now a.service', 'enable --now a.service'])
  perform([systemd.stop('a.service', source)])
  t.strictSame(told(), ['disable --now a.service'])
  t.match(perform([systemd.stop('a.service', join(root, 'none'))]).said, [/^nothing to do/])
  t.strictSame(told(), [])
  t.end()
})

t.test('where systemd does not run it is told nothing', t => {
  const { told, source } = standIn(t)
  const systemd = new Systemd('not here')
  const steps = [
    systemd.remember(['a.service']),
    systemd.reload(),
    ...systemd.start('a.service', [source]),
    systemd.stop('a.service', source),
  ]
  const { said, error } = perform([...steps, failing])
  t.equal(error, 'no luck')
  t.strictSame(said, [
    'left out: systemctl daemon-reload (not here)',
    'left out: systemctl enable a.service (not here)',
    'left out: systemctl restart a.service (not here)',
    'left out: systemctl disable --now a.service (not here)',
    'fail',
  ])
  t.strictSame(told(), [])
  t.end()
})
