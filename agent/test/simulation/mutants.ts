import { ELECTION_MUTANTS } from './mutants/elections.ts'
import { MEMBERSHIP_MUTANTS } from './mutants/membership.ts'
import type { Mutant } from './mutants/mutant.ts'
import { READ_MUTANTS } from './mutants/reads.ts'
import { REPLICATION_MUTANTS } from './mutants/replication.ts'
import { SESSION_MUTANTS } from './mutants/sessions.ts'
import { SNAPSHOT_MUTANTS } from './mutants/snapshots.ts'
import { TRANSFER_MUTANTS } from './mutants/transfer.ts'

/** Where the search for each begins. */
export const FIRST_SEED = 1

export const MUTANTS: readonly Mutant[] = [
  ...ELECTION_MUTANTS,
  ...REPLICATION_MUTANTS,
  ...READ_MUTANTS,
  ...TRANSFER_MUTANTS,
  ...SESSION_MUTANTS,
  ...MEMBERSHIP_MUTANTS,
  ...SNAPSHOT_MUTANTS,
]
