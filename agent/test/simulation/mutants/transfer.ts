import type { Mutant } from './mutant.ts'

/** Handing the leadership over. */
export const TRANSFER_MUTANTS: readonly Mutant[] = [
  {
    id: 'M28',
    change: 'a transfer is never given up',
    file: 'src/raft/transfer.ts',
    find: 'if (leader.transfer.ticks >= options.electionTicks) leader.transfer = null',
    replace: '',
    scenario: 'raft/transfer.test.ts',
    seeds: 0,
  },
  {
    id: 'M29',
    change: 'a transfer does not wait until the target is level',
    file: 'src/raft/transfer.ts',
    find: '  if (state.role.progress.get(from)?.match !== log.last.index) return\n',
    replace: '',
    scenario: 'raft/transfer.test.ts',
    seeds: 0,
  },
  {
    id: 'M30',
    change: 'proposals are taken during a transfer',
    file: 'src/raft/leading.ts',
    find: "return role.transfer === null && reached ? role : 'no-leader'",
    replace: "return reached ? role : 'no-leader'",
    scenario: 'raft/transfer.test.ts',
    seeds: 0,
  },
  {
    id: 'M31',
    change: 'the campaign that a leader ordered does not pass stickiness',
    file: 'src/raft/election.ts',
    find: 'if (hearsLeader(core) && message.term > state.term && !message.transfer) {',
    replace: 'if (hearsLeader(core) && message.term > state.term) {',
    scenario: 'raft/transfer.test.ts',
    seeds: 0,
  },
  {
    id: 'M33',
    change: 'a node campaigns by order before its machine is level',
    file: 'src/raft/election.ts',
    find: "if (core.state.role.kind === 'follower' && mayLead(core)) campaign(core, true)",
    replace: "if (core.state.role.kind === 'follower') campaign(core, true)",
    scenario: 'raft/transfer.test.ts',
    seeds: 0,
  },
  {
    id: 'M43',
    change: 'a second request begins a transfer anew',
    file: 'src/raft/transfer.ts',
    find: "if (role.kind !== 'leader' || role.transfer !== null) return",
    replace: "if (role.kind !== 'leader') return",
    scenario: 'raft/transfer.test.ts',
    seeds: 0,
  },
]
