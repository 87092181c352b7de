import t from 'tap'
import { FlightRecorder } from '../../src/node/flight-recorder.ts'
import { decodeFlightLog, encodeFlightLog } from '../../src/node/recording-file.ts'
import type { Effect } from '../../src/raft/effect.ts'
import type { Input } from '../../src/raft/input.ts'
import type { Message } from '../../src/raft/message.ts'
import { Raft } from '../../src/raft/raft.ts'
import { DEFAULT_LIMITS } from '../../src/raft/state.ts'
import { asLogIndex, asNodeId, asTerm, type NodeId, ORIGIN } from '../../src/raft/types.ts'
import { configurationOf } from '../raft/harness.ts'

const IDS = ['n1', 'n2', 'n3'].map(asNodeId)

/** Three cores that hand each other everything at once; `n1` is recorded. */
function recordedRun(recorder: FlightRecorder, rounds: number): readonly (readonly Effect[])[] {
  const nothing = { term: asTerm(0), vote: null, commit: asLogIndex(0) }
  const cores = new Map(
    IDS.map((id, at) => [
      id,
      new Raft(
        {
          ...DEFAULT_LIMITS,
          id,
          incarnation: `i-${id}`,
          founder: true,
          seed: at + 1,
          electionTicks: 10,
          heartbeatTicks: 2,
        },
        {
          hardState: nothing,
          base: ORIGIN,
          last: ORIGIN,
          borders: [],
          applied: ORIGIN,
          configuration: configurationOf(IDS),
        },
      ),
    ]),
  )
  const recorded: (readonly Effect[])[] = []
  const step = (id: NodeId, input: Input): void => {
    const core = cores.get(id) as Raft
    if (id === IDS[0]) recorder.record(input, () => core.image())
    const effects = core.step(input)
    if (id === IDS[0]) recorded.push(effects)
    for (const effect of effects) perform(id, effect)
  }
  const perform = (id: NodeId, effect: Effect): void => {
    if (effect.kind === 'send') deliver(effect.message)
    const applied = effect.kind === 'apply' ? effect.entries?.at(-1) : undefined
    if (applied !== undefined) {
      step(id, { kind: 'applied', position: applied, configuration: null })
    }
    if (effect.kind !== 'persist') return
    step(id, { kind: 'persisted', receipt: effect.receipt })
    effect.whenDurable.forEach(deliver)
  }
  const deliver = (message: Message): void => step(message.to, { kind: 'receive', message })
  for (let round = 0; round < rounds; round++) {
    for (const id of IDS) {
      step(id, { kind: 'tick' })
      step(id, { kind: 'propose', proposals: [{ id: round, payload: Buffer.from(`${round}`) }] })
      step(id, { kind: 'read', ids: [round] })
    }
  }
  return recorded
}

t.test('a recording, written and read back, gives the very same effects', async t => {
  const recorder = new FlightRecorder()
  // Long enough for several images, taken in the middle of everything.
  const effects = recordedRun(recorder, 1_500)
  const recording = recorder.recording()
  if (recording === null) throw new Error('nothing recorded')
  t.ok(recording.inputs.length >= 2_000 && recording.inputs.length <= 4_000)
  t.ok(effects.length > recording.inputs.length, 'the oldest are gone')
  const text = encodeFlightLog({ ...recording, version: '1.0.0', error: 'none' })
  const { image, inputs } = decodeFlightLog(text)
  const raft = new Raft(image.options, image)
  const replayed = inputs.map(input => raft.step(input))
  t.strictSame(
    JSON.stringify(replayed),
    JSON.stringify(effects.slice(effects.length - inputs.length)),
  )
})
