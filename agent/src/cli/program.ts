import { readFileSync } from 'node:fs'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { addAclCommands } from './acl-commands.ts'
import { addBackupCommands } from './backup-commands.ts'
import { Client } from './client.ts'
import { addClusterCommands } from './cluster-commands.ts'
import { addCompanionCommand } from './companion-command.ts'
import { addConfigCommands } from './config-commands.ts'
import type { Context, Surroundings } from './context.ts'
import { dev } from './dev.ts'
import { parseEndpoint } from './endpoint.ts'
import { CommandError, EXIT, type ExitCode, misused } from './exit.ts'
import { addKvCommands } from './kv-commands.ts'
import { addNginxCommands } from './nginx-commands.ts'
import { asSeconds, several } from './options.ts'
import type { Run } from './run.ts'
import { addStructureCommands } from './structure-commands.ts'
import { addTlsCommands } from './tls-commands.ts'

const DEFAULT_ENDPOINT = 'http://127.0.0.1:8185'
const VARIABLE = 'RAFT_NGINX_ENDPOINT'
const TOKEN_VARIABLE = 'RAFT_NGINX_TOKEN'

const EPILOGUE = `
Endpoints are agents (--endpoint 127.0.0.1:8185) or, for kv, gateways (--endpoint http://gw0.example); unix:/path is an
agent's socket. Several are tried in turn. Which of them leads does not matter.

Exit status: 0 done; 1 refused, or there is no such key or member; 2 bad usage; 3 not settled: nobody answered, no
leader, or a write of which it is not known whether it happened.

Examples:
  raft-nginx dev                                       three agents on this machine, in memory
  raft-nginx kv put user1 batman
  raft-nginx kv get user1
  tar c . | raft-nginx kv put backup/etc --cas 0       what comes on stdin, if there is no such key yet
  raft-nginx --endpoint 10.0.0.1:8185,10.0.0.2:8185 status
  raft-nginx add node3 10.0.0.4:8186
  raft-nginx backup today.sqlite
  raft-nginx acl bootstrap                             from now on everybody needs a token; this is the first
  raft-nginx acl create --name app --rule app/=write --rule app/keys/=deny
  raft-nginx restore --from today.sqlite --config agent.json --cluster-name edge-2
  raft-nginx structure push ./gateways --wait          server names, certificates, upstreams of every nginx
  raft-nginx tls init --config agent.json              certificates for its nodes, in ./tls
  raft-nginx nginx render --config agent.json --drop-in /etc/nginx --reload
`

interface Globals {
  readonly endpoint?: readonly string[]
  readonly token?: string
  readonly tokenFile?: string
  readonly timeout: number
  readonly json?: boolean
}

/** @param startAgent runs the agent in this process @returns the exit status; the agent may go on behind it */
export async function runProgram(
  args: readonly string[],
  surroundings: Surroundings,
  { version, startAgent }: Host,
): Promise<ExitCode> {
  const program = new Command('raft-nginx')
  try {
    build(program, surroundings, { version, startAgent })
    await program.parseAsync([...args], { from: 'user' })
    return EXIT.done
  } catch (error) {
    return told(error, surroundings, program.opts<Globals>().json === true)
  }
}

export interface Host {
  readonly version: string
  readonly startAgent: (args: readonly string[]) => Promise<void>
}

function build(program: Command, surroundings: Surroundings, host: Host): void {
  const { stdout, stderr } = surroundings
  const timeout = new Option('--timeout <seconds>', 'how long to try')
  timeout.argParser(asSeconds).default(5000, '5')
  program
    .description('A strongly consistent key-value store inside a fleet of nginx gateways.')
    .version(host.version, '--version')
    .option(
      '-e, --endpoint <url>',
      `whom to ask (default: ${VARIABLE}, or ${DEFAULT_ENDPOINT})`,
      several,
    )
    .option(
      '--token <secret>',
      `who asks (default: ${TOKEN_VARIABLE}); others see it in the list of processes`,
    )
    .option('--token-file <file>', 'the same, out of a file')
    .addOption(timeout)
    .option('--json', 'results and errors as JSON')
    .exitOverride()
    .configureOutput({
      writeOut: text => stdout.write(text),
      writeErr: text => stderr.write(text),
    })
    .showHelpAfterError('(--help tells more)')
    .addHelpText('after', EPILOGUE)
  const run: Run =
    action =>
    async (...given) => {
      await action(contextOf(surroundings, program.opts<Globals>()), ...given)
    }
  addKvCommands(program, run)
  addClusterCommands(program, run)
  addBackupCommands(program, run)
  addNginxCommands(program)
  addStructureCommands(program, run)
  addCompanionCommand(program, run)
  addConfigCommands(program, run)
  addAclCommands(program, run)
  addTlsCommands(program, run)
  program
    .command('agent')
    .description('run the agent of a node in the foreground')
    .requiredOption('-c, --config <file>', 'its configuration; see config schema')
    .option('--inmem', 'keep log and data in memory')
    .action(async ({ config, inmem }: { config: string; inmem?: boolean }) => {
      await host.startAgent(['--config', config, ...(inmem ? ['--inmem'] : [])])
    })
  program
    .command('dev')
    .description('run a cluster of agents on this machine, until Ctrl-C')
    .option('--nodes <count>', 'how many, 1 to 9', whole(1, 9), 3)
    .option('--base-port <port>', 'node k has HTTP at this + 100 k + 85', whole(1024, 64_000), 8100)
    .option('--data <directory>', 'keep logs and data there (default: in memory)')
    .action(
      async ({ nodes, basePort, data }: { nodes: number; basePort: number; data?: string }) => {
        await dev(surroundings, { nodes, basePort, data: data ?? null })
      },
    )
}

function contextOf(surroundings: Surroundings, globals: Globals): Context {
  const { endpoint, timeout, json } = globals
  const token = tokenOf(surroundings, globals)
  const fromEnvironment = several(surroundings.env[VARIABLE] ?? '')
  const names = [endpoint ?? [], fromEnvironment, [DEFAULT_ENDPOINT]].find(
    ({ length }) => length > 0,
  )
  const endpoints = (names ?? []).map(name => parseEndpoint(name, token))
  const client = new Client({ endpoints, timeoutMs: timeout })
  return { ...surroundings, client, json: json === true }
}

/** Null: none. @throws CommandError where there can be none such */
function tokenOf({ env }: Surroundings, { token, tokenFile }: Globals): string | null {
  const given = tokenFile === undefined ? (token ?? env[TOKEN_VARIABLE]) : fileText(tokenFile)
  const text = given?.trim() ?? ''
  if (text === '') return null
  if (/^[!-~]+$/.test(text)) return text
  throw misused('a token is printable ASCII without spaces')
}

function fileText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw misused(`${file}: ${error instanceof Error ? error.message : error}`)
  }
}

/** Says what went wrong, where that was not said already. */
function told(error: unknown, { stderr }: Surroundings, json: boolean): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
  if (!(error instanceof CommandError)) throw error
  const { message, exitCode, status, code } = error
  if (json) {
    const settled = exitCode !== EXIT.unsettled
    stderr.write(`${JSON.stringify({ error: message, code, status, settled })}\n`)
  } else if (message !== '') stderr.write(`raft-nginx: ${message}\n`)
  return exitCode
}

function whole(min: number, max: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (Number.isInteger(value) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`a whole number from ${min} to ${max} is needed.`)
  }
}
