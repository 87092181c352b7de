import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { realAgent } from '../http/real-agent.ts'
import { run, speaker } from './harness.ts'

t.test('from the first token to the last, on a real agent', async t => {
  const { base } = await realAgent(t)
  const cli = (token: string, ...args: string[]) =>
    run(['-e', base, ...args], { env: token === '' ? {} : { RAFT_NGINX_TOKEN: token } })
  t.equal((await cli('', 'kv', 'put', 'app/a', '1')).code, 0)
  t.match((await cli('', 'acl', 'status')).stdout, 'tokens do not count; there are 0')
  const first = await cli('', '--json', 'acl', 'bootstrap')
  t.equal(first.code, 0, first.stderr)
  const { secret: admin } = JSON.parse(first.stdout) as { secret: string }
  const refused = await cli('', 'acl', 'bootstrap')
  t.equal(refused.code, 1)
  t.match(refused.stderr, /given out already/)
  t.equal((await cli('', 'kv', 'get', 'app/a')).code, 1)
  const rules = ['--rule', 'app/=write', '--rule', 'app/secret/=deny', '--rule', '=read']
  const made = await cli(admin, 'acl', 'create', '--name', 'app', ...rules, '--ttl', '24h')
  t.match(made.stdout, /secret +[\w-]{43} {2}\(shown this once\)/)
  const app = /[\w-]{43}/.exec(/secret.*/.exec(made.stdout)?.[0] ?? '')?.[0] ?? ''
  const accessor = /accessor +(\S+)/.exec(made.stdout)?.[1] ?? ''
  t.equal((await cli(app, 'kv', 'put', 'app/a', '2')).code, 0)
  t.match((await cli(app, 'kv', 'put', 'other', '2')).stderr, /Permission denied/)
  t.equal((await cli(app, 'acl', 'list')).code, 1)
  const file = join(t.testdir(), 'token')
  writeFileSync(file, `${admin}\n`)
  const listed = await cli('', '--token-file', file, 'acl', 'list')
  t.match(listed.stdout, / app +client +app\/=write app\/secret\/=deny ==?read/)
  t.notMatch(listed.stdout, app)
  const anybody = await cli(admin, 'acl', 'update', 'anonymous', '--rule', 'public/=read')
  t.equal(anybody.code, 0, anybody.stderr)
  t.match((await cli(admin, 'acl', 'show', accessor)).stdout, /name +app/)
  t.equal((await cli(admin, 'acl', 'delete', accessor)).code, 0)
  t.equal((await cli(app, 'kv', 'get', 'app/a')).code, 1)
  t.equal((await cli('', '--token', admin, 'acl', 'disable')).code, 0)
  t.equal((await cli('', 'kv', 'get', 'app/a')).stdout, '2')
})

t.test('the token goes along where another node leads', async t => {
  const leader = await speaker(t, (_, answer) => answer(200, '{"members":[]}'))
  const follower = await speaker(t, ({ line }, answer) => {
    if (line.includes('/status')) answer(200, `{"leader":{"http":"${leader.name}"}}`)
    else answer(421)
  })
  const got = await run(['-e', follower.name, '--token', 'abc', 'members'])
  t.equal(got.code, 0, got.stderr)
  t.equal(leader.seen[0]?.headers['x-consul-token'], 'abc')
})

t.test('what is no token, or no rule, is bad usage', async t => {
  for (const args of [
    ['--token', 'a b', 'status'],
    ['--token-file', '/nonexistent', 'status'],
    ['acl', 'create', '--rule', 'app/'],
    ['acl', 'create', '--rule', 'app/=list'],
  ]) {
    t.equal((await run(args)).code, 2, args.join(' '))
  }
})
