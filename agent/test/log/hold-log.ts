/** A process that owns a log until it is killed: `hold-log.ts <directory>`; prints a line once it does. */
import { SegmentLogStore } from '../../src/log/segment-log-store.ts'
import { batchOf, entriesBetween, IDENTITY } from './log-model.ts'

const [, , directory = ''] = process.argv
const store = new SegmentLogStore({ directory })
await store.open(IDENTITY)
await store.persist(batchOf({ entries: entriesBetween({ first: 1, last: 3 }, 1) }))
process.stdout.write('open\n')
setInterval(() => store, 60_000)
