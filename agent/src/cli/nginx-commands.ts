import type { Command } from 'commander'
import { main as render } from '../gateway/render-main.ts'
import { CommandError, EXIT, failed, misused } from './exit.ts'

/** `nginx render|check`: the options are the renderer's own. */
export function addNginxCommands(program: Command): void {
  const nginx = program
    .command('nginx')
    .description("the gateway: nginx's configuration for a node")
  const pass = (name: string, description: string, extra: readonly string[]) =>
    nginx
      .command(name)
      .description(description)
      .usage(
        '(--config FILE | --members FILE --node ID --socket PATH) (--prefix DIR --listen PORT | --drop-in DIR) [options]; --help lists them',
      )
      .argument('[options...]')
      .helpOption(false)
      .allowUnknownOption()
      .action((_given: unknown, _options: unknown, command: Command) =>
        renderWith([...command.args, ...extra]),
      )
  pass('render', 'write it, test it with nginx -t, and put it in place', [])
  pass('check', 'test only, change nothing', ['--check'])
}

async function renderWith(args: readonly string[]): Promise<void> {
  let code: number
  try {
    code = await render(args)
  } catch (error) {
    const words = wordsOf(error)
    const usage = error instanceof TypeError && 'code' in error
    throw usage ? misused(words) : failed(words)
  }
  // It has said why.
  if (code !== 0) throw new CommandError(EXIT.failed, '', null)
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
