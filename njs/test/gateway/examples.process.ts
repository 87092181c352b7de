/**
 * The examples for operators, in real nginxes beside real agents. Run by itself:
 * `npx tsx njs/test/gateway/examples.process.ts`. Prints TAP. Needs nginx with `js_shared_dict_zone`, as edge.process.ts.
 */

import { withEdgeNginx } from './edge-nginx.ts'

await withEdgeNginx('the examples for operators', async t => {
  const { examples } = await import('./examples.ts')
  examples(t)
})
