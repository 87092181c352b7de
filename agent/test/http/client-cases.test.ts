import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import type { Api } from './client-cases/api.ts'
import { CLIENT_CASES } from './client-cases/index.ts'
import { EventStream } from './event-stream.ts'
import { serve, WAYS } from './harness.ts'
import { request } from './raw-client.ts'

for (const { way, ...how } of WAYS) {
  t.test(`${way}: what clients rely on, at one node`, async t => {
    const { tcp } = await serve(t, { ...how })
    for (const [at, { name, run }] of CLIENT_CASES.entries()) {
      const api: Api = {
        prefix: `c${at}/`,
        steady: true,
        ask: (line, asking = {}) => request(tcp, line, asking),
        watch: (parameters, headers) =>
          new EventStream(tcp, `/v1/watch${parameters}`, { ...headers }),
        until: async (_what, check) => {
          while (!check()) await pause(5)
        },
      }
      await t.resolves(run(api), name)
    }
  })
}
