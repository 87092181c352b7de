/** Bundles what nginx loads from `njs/src` twice: for the classic njs engine, and for QuickJS (njs ≥ 1.0.1). */

import { fileURLToPath } from 'node:url'
import { type BuildOptions, build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  logLevel: 'warning',
}

const scripts = ['gateway', 'edge', 'raft-kv']

const targets: Record<string, BuildOptions> = {
  // The classic engine reads ES5 and a little more; `export { x as default }` only since njs 0.8. esbuild lowers what
  // it can and refuses the rest, which makes it the lint.
  njs: {
    format: 'iife',
    globalName: '__m',
    footer: { js: 'export default __m.default;' },
    target: 'es5',
    supported: {
      arrow: true,
      'const-and-let': true,
      'template-literal': true,
      'async-await': true,
      'object-extensions': true,
      'rest-argument': true,
    },
  },
  qjs: { format: 'esm', target: 'es2023' },
}

for (const [engine, options] of Object.entries(targets)) {
  for (const script of scripts) {
    const outfile = `build/${engine}/${script}.js`
    await build({ ...common, ...options, entryPoints: [`njs/src/${script}.ts`], outfile })
    console.log(`built ${outfile}`)
  }
}
