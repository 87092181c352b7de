import { resolve } from 'node:path'
import type { Command } from 'commander'
import { settingShape } from '../config/settings.ts'
import { readConfig } from '../config.ts'
import { type Context, say } from './context.ts'
import { failed } from './exit.ts'
import type { Run } from './run.ts'

/** `config check|schema` */
export function addConfigCommands(program: Command, run: Run): void {
  const config = program.command('config').description("an agent's configuration file")
  config
    .command('check')
    .description('tell all that is wrong with it; reads nothing else, changes nothing')
    .argument('<file>')
    .action(run(check))
  config
    .command('schema')
    .description('the JSON schema of the file: every setting with its meaning and default')
    .action(run(schema))
}

/** As the agent itself reads it: with what the environment overrides. */
function check(context: Context, file: string): void {
  const result = readConfig({ file, env: context.env, overrides: {} })
  if (result.kind === 'faults') throw failed(result.faults.join('\n'))
  const { nodeId, nodes } = result.config
  const text = `${resolve(file)} is fine: ${nodeId} of ${nodes.length} nodes`
  say(context, result.config, text)
}

function schema(context: Context): void {
  say({ ...context, json: false }, null, JSON.stringify(settingShape, null, 2))
}
