/**
 * What guards clients: TLS and HTTP/2 as nginx/examples/tls.conf has them, and tokens through every gateway. Run by itself:
 * `npx tsx njs/test/gateway/guarded.process.ts`. Prints TAP. Reads out of nginx's own memory are tried where nginx has them.
 */

import { withAnyNginx } from './edge-nginx.ts'

await withAnyNginx(async (t, edge) => {
  const { guarded } = await import('./guarded.ts')
  guarded(t, edge)
})
