import t from 'tap'
import { Room } from '../../src/node/room.ts'
import { ManualClock } from './manual-clock.ts'

const MB = 1024 * 1024
const [LOG, DATA] = ['/log', '/data']

/** A room whose disks have what the test says; what it told is kept. */
function roomWith(free: Map<string, number>, whole: number) {
  const clock = new ManualClock()
  const told: (boolean | string)[] = []
  const measure = async (directory: string) => {
    const found = free.get(directory)
    if (found === undefined) throw new Error('gone')
    return { free: found, whole }
  }
  const onChange = (isShort: boolean, why: string) => told.push(isShort, why)
  const room = new Room({ directories: [LOG, DATA], clock, onChange, measure })
  return { room, told, clock }
}

t.test(
  'short is who has less than the reserve, until there is a quarter more than that',
  async t => {
    const free = new Map([
      [LOG, 64 * MB],
      [DATA, 64 * MB],
    ])
    const { room, told } = roomWith(free, 100_000 * MB)
    await room.look()
    t.equal(room.isShort, false)
    free.set(DATA, 64 * MB - 1)
    await room.look()
    t.equal(room.isShort, true)
    t.strictSame(told, [true, `${64 * MB - 1} bytes free at /data, ${64 * MB} wanted`])
    free.set(DATA, 80 * MB - 1)
    await room.look()
    t.equal(room.isShort, true, 'it does not go to and fro')
    free.set(DATA, 80 * MB)
    await room.look()
    t.equal(room.isShort, false)
    t.equal(told.length, 4, 'each change is told once')
  },
)

t.test('one of two disks is enough, and either has to have room again', async t => {
  const free = new Map([
    [LOG, 1],
    [DATA, 1],
  ])
  const { room, told } = roomWith(free, 100_000 * MB)
  await room.look()
  free.set(LOG, 100 * MB)
  await room.look()
  t.equal(room.isShort, true)
  free.set(DATA, 100 * MB)
  await room.look()
  t.equal(room.isShort, false)
  t.strictSame([told[0], told[2], told.length], [true, false, 4])
})

t.test('of a small disk a part is enough; one that does not tell is as it was', async t => {
  const free = new Map([
    [LOG, 5 * MB],
    [DATA, 5 * MB],
  ])
  const { room } = roomWith(free, 100 * MB)
  await room.look()
  t.equal(room.isShort, false)
  free.set(LOG, 5 * MB - 1)
  await room.look()
  t.equal(room.isShort, true)
  free.clear()
  await room.look()
  t.equal(room.isShort, true)
})

t.test('it looks once a second until it is told to end', async t => {
  const free = new Map([
    [LOG, 1],
    [DATA, 1],
  ])
  const { room, clock } = roomWith(free, 100 * MB)
  const end = room.start()
  clock.advance(999)
  t.equal(room.isShort, false)
  clock.advance(1)
  await room.look()
  await new Promise(resolve => setImmediate(resolve))
  t.equal(room.isShort, true)
  end()
  t.equal(clock.pending, 0)
})
