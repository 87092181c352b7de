import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { hasSharedDict } from '../../../agent/src/gateway/edge-options.ts'
import { findJsModule } from '../../../agent/src/gateway/nginx-binary.ts'
import { ensureEdgeNginx, nginxOf, SYSTEM_NGINX } from '../../lib/matrix.ts'
import { type RunningServer, startServer } from '../child-process.ts'

export interface NginxProgram {
  readonly program: string
  /** whether reads can be answered from its memory: njs 0.8 or later */
  readonly memory: boolean
}

export interface GatewayPlace {
  readonly root: string
  /** of the node */
  readonly folder: string
  readonly name: string
  readonly config: string
  readonly port: number
  readonly nginx: NginxProgram
  readonly mode: 'proxy' | 'redirect'
  readonly edgeSocket: string | null
}

/** Renders its configuration and starts it. @throws Error with what the renderer or nginx says */
export function startGateway(place: GatewayPlace): RunningServer {
  const { root, folder, nginx, config, mode, edgeSocket } = place
  const prefix = join(folder, place.name)
  const render = join(root, 'agent/dist/gateway/render-main.js')
  const edge = edgeSocket === null ? [] : ['--edge-reads', 'auto', '--edge-socket', edgeSocket]
  const listen = ['--listen', `127.0.0.1:${place.port}`]
  const own = ['--prefix', prefix, '--nginx', nginx.program, '--write-mode', mode]
  const args = [render, '--config', config, ...own, ...listen, ...edge]
  const rendered = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (rendered.status !== 0) throw new Error(`nginx configuration: ${rendered.stderr}`)
  const logFile = join(folder, `${place.name}.log`)
  const child = startServer({
    program: nginx.program,
    args: ['-p', prefix, '-c', join(prefix, 'nginx.conf'), '-g', 'daemon off;'],
    logFile,
  })
  return { child, logFile }
}

/**
 * NGINX_PROGRAM, else the first that can read from its memory (another Debian's root is made when root), else this
 * machine's. null: none.
 */
export function findNginx(): NginxProgram | null {
  const { NGINX_PROGRAM: given } = process.env
  if (given) return described(given)
  const whyNot = ensureEdgeNginx()
  const programs = [SYSTEM_NGINX, nginxOf('trixie'), nginxOf('sid')].filter(
    program => program !== null,
  )
  const able = whyNot === null ? programs.find(program => described(program).memory) : undefined
  if (able !== undefined) return described(able)
  return existsSync(SYSTEM_NGINX) ? described(SYSTEM_NGINX) : null
}

function described(program: string): NginxProgram {
  return { program, memory: hasSharedDict(program, findJsModule(program)) }
}
