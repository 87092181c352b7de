import t from 'tap'
import { Excuses } from '../../../scripts/faults/mixed/excuses.ts'

const DISK = [
  'stopped: append to segment 1: EIO: i/o error, write',
  'stopped: ENOSPC: no space left on device, write',
  'stopped: copy of kv.sqlite: SqliteError: database or disk is full',
]

t.test(
  'who met a fault of its disk at the very end may stop a little later, for that reason alone',
  async t => {
    let now = 0
    const excuses = new Excuses(() => now)
    t.notOk(excuses.cover('node0', DISK[0] ?? ''), 'nothing was done to it')
    const [one, other] = [excuses.allow('node0'), excuses.allow('node0')]
    one()
    now = 60_000
    t.ok(excuses.cover('node0', 'whatever'), 'something lasts')
    t.notOk(excuses.cover('node1', DISK[0] ?? ''), 'that is another')
    other()
    for (const reason of DISK) t.ok(excuses.cover('node0', reason), reason)
    t.notOk(excuses.cover('node0', 'assertion failed'))
    t.notOk(excuses.cover('node0', 'kv.sqlite is damaged: frame 1 differs from its checksum'))
    now += 5_000
    t.notOk(excuses.cover('node0', DISK[0] ?? ''), 'long over')
  },
)
