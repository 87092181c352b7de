/** Where an installed gateway keeps what. */

import { dirname, join } from 'node:path'

export interface Places {
  /** of the package: programs, bundles, templates, examples */
  readonly share: string
  readonly command: string
  /** of the agent */
  readonly config: string
  readonly data: string
  /** sockets of the agent and of nginx's memory; closed to all but the agent and nginx's group */
  readonly run: string
  readonly nginx: string
  /** nginx's of what the agents answered; null: where the renderer has it */
  readonly cache: string | null
  /** wherever it may be */
  readonly caches: readonly string[]
  readonly agentUnit: string
  /** of what renders keys to nginx's configuration, and where it keeps that */
  readonly companionUnit: string
  readonly structure: string
  /** link to its current release, as its own default has it */
  readonly structureLink: string
  readonly tmpfiles: string
  /** what nginx's own unit does in addition */
  readonly nginxUnit: string
}

/** nginx's of Debian, and of nginx.org. */
const CACHES = ['/var/lib/nginx/raft', '/var/cache/nginx/raft']

/** @param root '' for this machine; else everything, and every path that is written down, is below it */
export function placesIn(root: string): Places {
  const at = (path: string) => (root === '' ? path : join(root, path))
  const cache = root === '' ? null : at('/run/raft-nginx-cache')
  return {
    share: at('/usr/share/raft-nginx'),
    command: at('/usr/bin/raft-nginx'),
    config: at('/etc/raft-nginx/agent.json'),
    data: at('/var/lib/raft-nginx'),
    run: at('/run/raft-nginx'),
    nginx: at('/etc/nginx'),
    caches: [...CACHES.map(at), ...(cache === null ? [] : [cache])],
    cache,
    agentUnit: at(`/etc/systemd/system/${UNIT}`),
    companionUnit: at(`/etc/systemd/system/${COMPANION_UNIT}`),
    structure: at('/var/lib/raft-nginx-structure'),
    structureLink: at('/etc/nginx/raft-structure'),
    tmpfiles: at('/etc/tmpfiles.d/raft-nginx.conf'),
    nginxUnit: at('/etc/systemd/system/nginx.service.d/raft-nginx.conf'),
  }
}

/** The user of the agent; its group is the one of nginx's workers, so that they reach each other's sockets. */
export const USER = 'raft-nginx'

export const UNIT = 'raft-nginx.service'
export const COMPANION_UNIT = 'raft-nginx-companion.service'

function agentCommand({ share, config, data, run }: Places, node: string) {
  return {
    program: `${node} ${share}/agent/dist/main.js --config ${config}`,
    environment: [
      'NODE_ENV=production',
      `RAFT_NGINX_RAFT_DIR=${data}`,
      `RAFT_NGINX_SERVER__SOCKET=${run}/agent.sock`,
      `RAFT_NGINX_EDGE__SOCKET=${run}/edge.sock`,
    ],
  }
}

/** What the unit does, for a shell of root's on a machine without systemd. */
export function agentByHand(places: Places, { node, group }: UnitOptions): string {
  const { program, environment } = agentCommand(places, node)
  return `runuser -u ${USER} -g ${group} -- env ${environment.join(' ')} ${program}`
}

export function agentUnitText(places: Places, { node, group }: UnitOptions): string {
  const { run } = places
  const { program, environment } = agentCommand(places, node)
  return `# Written by raft-nginx's scripts/install.
[Unit]
Description=Raft agent beside nginx
After=network-online.target
Wants=network-online.target

[Service]
User=${USER}
Group=${group}
ExecStart=${program}
${environment.map(setting => `Environment=${setting}`).join('\n')}
StateDirectory=raft-nginx
StateDirectoryMode=0700
Restart=on-failure
RestartSec=1
# Above the agent's own limit for a clean stop.
TimeoutStopSec=5
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ReadWritePaths=${run}

[Install]
WantedBy=multi-user.target
`
}

export function companionCommand(
  places: Places,
  { node, nginx }: { readonly node: string; readonly nginx: string },
): string {
  const { share, config, structure } = places
  const main = join(places.nginx, 'nginx.conf')
  const own = `--config ${config} --dir ${structure} --main ${main} --nginx ${nginx}`
  return `${node} ${share}/agent/dist/cli/raft-nginx.js companion ${own}`
}

/** It has root's rights, as nginx's master has, and sees the files that nginx sees. */
export function companionUnitText(
  places: Places,
  { node, nginx }: { readonly node: string; readonly nginx: string },
): string {
  return `# Written by raft-nginx's scripts/install.
[Unit]
Description=Keys of raft-nginx that become nginx's configuration
After=raft-nginx.service nginx.service

[Service]
ExecStart=${companionCommand(places, { node, nginx })}
Environment=NODE_ENV=production
# Where clients need tokens: RAFT_NGINX_TOKEN=…, readable by root only.
EnvironmentFile=-${join(dirname(places.config), 'companion.env')}
Restart=always
RestartSec=2
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
`
}

interface UnitOptions {
  /** absolute path of Node */
  readonly node: string
  /** of nginx's workers */
  readonly group: string
}

/** Not the unit's RuntimeDirectory: nginx, which may come first, has a socket there too. */
export function tmpfilesText({ run }: Places, group: string): string {
  return `# Written by raft-nginx's scripts/install.\nd ${run} 0750 ${USER} ${group} -\n`
}

/** A killed nginx leaves its socket's file, for which the next one would not start. */
export function nginxUnitText({ run }: Places): string {
  return `# Written by raft-nginx's scripts/install.\n[Service]\nExecStartPre=-/bin/rm -f ${run}/edge.sock\n`
}
