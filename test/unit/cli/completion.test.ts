/** What is offered at a Tab, by `__complete` itself and through bash. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { splitLine } from '../../../appliance/cli/complete.js';
import { withApi, withFolder } from '../api/fixture.js';
import { weir } from './weir.js';

const test = suite('cli: completion');

const lines: readonly (readonly [line: string, words: readonly string[]])[] = [
  ['weir sho', ['show']],
  [
    'weir show ',
    [
      'services',
      'service',
      'routes',
      'workers',
      'routers',
      'pools',
      'pool',
      'members',
      'network',
      'member',
      'flows',
      'events',
      'drops',
      'traffic',
      'tiers',
      'counters',
    ],
  ],
  ['weir show member web 10.0.1.11', ['10.0.1.11:8080']],
  ['weir test ', ['member']],
  ['weir test member web 10.0.1.12', ['10.0.1.12:8080']],
  ['weir test member web 10.0.1.12:8080 --service s', ['shop']],
  ['weir show member web 10.0.1.12:8080 --s', ['--setup', '--socket']],
  ['weir show fl', ['flows']],
  ['weir help --', ['--socket', '--json', '--version', '--help']],
  ['weir help com', ['completion']],
  ['weir show events --kind flow', ['flow-new', 'flow-moved']],
  ['weir apply weir.yaml --dry', ['--dry-run']],
  ['weir apply ', [':files']],
  ['weir export --output ', [':files']],
  ['weir show service ', ['shop', 'dns']],
  ['weir show routes s', ['shop']],
  ['weir restart ', ['workers']],
  ['weir pair ', ['invite', 'join', 'status', 'failover', 'prefer', 'leave']],
  ['weir pair leave --y', ['--yes']],
  ['weir show pool ', ['web', 'resolvers']],
  ['weir set member ', ['web', 'resolvers']],
  ['weir set member w', ['web']],
  ['weir set member web 10.0.1.1', ['10.0.1.11:8080', '10.0.1.12:8080', '10.0.1.13:8080']],
  ['weir set member web [2001:', ['[2001:db8::14]:8080']],
  ['weir set member web 10.0.1.11:8080 d', ['draining', 'disabled']],
  ['weir set member web 10.0.1.11:8080 draining --w', ['--weight']],
  ['weir rollback ', ['7', '6']],
  ['weir export --revision ', ['7', '6']],
  ['weir show members --pool=w', ['--pool=web']],
  ['weir show members --pool ', ['web', 'resolvers']],
  ['weir show flows --service s', ['shop']],
  ['weir daemon --log-level w', ['warn']],
  ['weir completion ', ['bash', 'zsh', 'fish']],
  ['weir status ', []],
  ['weir nothing ', []],
];

for (const [line, words] of lines) {
  test(`${line}<Tab>`, () =>
    withApi(async ({ socket }) => {
      const ran = await weir(['__complete', '--', line], { socket });
      assert.equal([ran.code, ran.err], [0, '']);
      const offered = ran.out
        .split('\n')
        .flatMap((one) => (one === '' ? [] : [one.split('\t')[0]]));
      assert.equal([...offered].sort(), [...words].sort());
    }));
}

test('hidden commands are not offered; every visible one is', async () => {
  const ran = await weir(['__complete', '--', 'weir ']);
  const offered = ran.out.split('\n').map((line) => line.split('\t')[0]);
  assert.not(offered.includes('__complete'));
  for (const word of [
    'daemon',
    'apply',
    'confirm',
    'diff',
    'export',
    'history',
    'rollback',
    'lint',
    'show',
    'set',
    'status',
    'completion',
    'schema',
    'reference',
    'help',
  ]) {
    assert.ok(offered.includes(word), `${word} is not offered`);
  }
});

test('names come from the daemon that --socket names; without one there are none', () =>
  withApi(async ({ socket, folder }) => {
    const named = await weir(['__complete', '--', `weir --socket ${socket} set member w`]);
    assert.match(named.out, /^web\t/);
    const none = await weir(['__complete', '--', 'weir set member '], {
      socket: join(folder, 'none'),
    });
    assert.equal([none.code, none.out, none.err], [0, '', '']);
  }));

test('words of a line, with quotes', () => {
  assert.equal(splitLine('weir apply "my file.yaml" --comm'), [
    'weir',
    'apply',
    'my file.yaml',
    '--comm',
  ]);
  assert.equal(splitLine("weir  set 'a b"), ['weir', 'set', 'a b']);
  assert.equal(splitLine('set \\[2001:db8\\ x'), ['set', '[2001:db8 x']);
  assert.equal(splitLine('weir '), ['weir', '']);
});

const shells = [
  ['bash', ['-n']],
  ['zsh', ['-n']],
  ['fish', ['--no-execute']],
] as const;

for (const [shell, check] of shells) {
  const name = `the script for ${shell} is what ${shell} can read`;
  const act = (): Promise<void> =>
    withFolder(async (folder) => {
      const ran = await weir(['completion', shell]);
      assert.equal([ran.code, ran.err], [0, '']);
      assert.match(ran.out, /__complete/);
      const file = join(folder, `weir.${shell}`);
      writeFileSync(file, ran.out);
      const checked = spawnSync(shell, [...check, file], { encoding: 'utf8' });
      assert.equal([checked.status, checked.stderr], [0, '']);
    });
  if (spawnSync(shell, ['--version']).error === undefined) {
    test(name, act);
  } else {
    test.skip(name, act);
    // In the form that the runner counts (test/support/needs.ts).
    console.log(`~ skipped "${name}": it needs ${shell}: install the package ${shell}.`);
  }
}

test('in bash, colons and brackets included', () =>
  withApi(async ({ folder, socket }) => {
    const script = join(folder, 'weir.bash');
    writeFileSync(script, (await weir(['completion', 'bash'])).out);
    const program = fileURLToPath(new URL('../../../appliance/cli/weir.js', import.meta.url));
    const launcher = join(folder, 'weir');
    writeFileSync(launcher, `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`, {
      mode: 0o755,
    });
    for (const [line, reply] of [
      ['weir sho', 'show'],
      ['weir set member web 10.0.1.11:80', '8080'],
      ['weir set member web [2001:db8::14]:', '8080'],
      ['weir set member web [2001:db8', 'db8::14]:8080'],
      ['weir show members --pool=w', 'web'],
      ['weir set member web 10.0.1.11:8080 dr', 'draining'],
    ] as const) {
      const code = `
        source '${script}'
        COMP_LINE='${line}' COMP_POINT=${line.length}
        _weir '${launcher}'
        printf '%s\\n' "\${COMPREPLY[@]}"`;
      const out = await run('bash', ['--norc', '-c', code], { WEIR_SOCKET: socket });
      assert.is(out, `${reply}\n`, line);
    }
  }));

/** Not synchronous: the daemon that is asked runs in this process. */
function run(
  command: string,
  words: readonly string[],
  environment: Record<string, string>,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, {
      env: { PATH: process.env['PATH'] ?? '', ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
    child.on('error', reject);
    child.on('close', () => resolve(out));
  });
}

test.run();
