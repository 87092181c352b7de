/** Bundles what nginx loads from `njs/src` twice: for the classic njs engine, and for QuickJS (njs ≥ 1.0.1). */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  write: false,
  format: 'esm',
  logLevel: 'warning',
}

const scripts = ['gateway', 'edge', 'edge-fill', 'edge-wrote', 'raft-kv']

const targets: Record<string, BuildOptions> = {
  // The classic engine reads ES5 and a little more. esbuild lowers what it can and refuses the rest, which makes it the
  // lint.
  njs: {
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
  qjs: { target: 'es2023' },
}

for (const [engine, options] of Object.entries(targets)) {
  mkdirSync(join(root, 'build', engine), { recursive: true })
  for (const script of scripts) {
    const file = `build/${engine}/${script}.js`
    const entryPoints = [`njs/src/${script}.ts`]
    const { outputFiles } = await build({ ...common, ...options, entryPoints })
    writeFileSync(join(root, file), withDefault(outputFiles?.[0]?.text ?? ''))
    console.log(`built ${file}`)
  }
}

/** njs 0.7 does not know the form of export that esbuild writes. @throws Error where esbuild writes another one */
function withDefault(text: string): string {
  const plain = text.replace(/export \{\s*(\w+) as default\s*\};\s*$/, 'export default $1;\n')
  if (plain === text) throw new Error(`no default export:\n${text.slice(-200)}`)
  return plain
}
