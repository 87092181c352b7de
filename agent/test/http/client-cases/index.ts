/**
 * What a client may rely on, whichever server it asks and whoever leads: run against one simulated node
 * (client-cases.test.ts) and through each gateway of real clusters (cluster/client-routes.process.ts).
 * No case knows an absolute index, or keys outside of its own prefix.
 */

import type { ClientCase } from './api.ts'
import { HOSTILE_CASES } from './hostile.ts'
import { KV_CASES } from './kv.ts'
import { OTHER_CASES } from './others.ts'

export const CLIENT_CASES: readonly ClientCase[] = [...KV_CASES, ...OTHER_CASES, ...HOSTILE_CASES]
