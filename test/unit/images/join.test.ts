/** Modules joined for an image do what they do apart. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NODE_OPTIONS } from '../../../appliance/l7/supervisor/worker-process.js';
import { projectRoot } from '../../../appliance/paths.js';
import { compileAhead, joinModules, packagesOf } from '../../../images/join.js';
import { PRODUCT } from '../../../images/product.js';

const test = suite('joined modules');
const folder = mkdtempSync(join(tmpdir(), 'weir-joined-'));
test.after(() => {
  rmSync(folder, { recursive: true, force: true });
});

const run =
  (root: string) =>
  (...words: readonly string[]): string =>
    execFileSync(process.execPath, [join(root, 'build/appliance/cli/weir.js'), ...words], {
      encoding: 'utf8',
    });
const weir = run(folder);
const apart = run(projectRoot);

const joined = joinModules(folder);
symlinkSync(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
const node = (parameters: readonly string[]): string =>
  execFileSync(process.execPath, parameters, { encoding: 'utf8' });

test('a command runs from few files, with the packages that stay apart', () => {
  for (const name of ['zod', 'yaml', 'fastify']) assert.ok(joined.has(name), name);
  for (const name of ['better-sqlite3', 'koffi', 'blessed']) assert.not(joined.has(name), name);
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    version: string;
  };
  assert.match(weir('--version'), version);
  assert.match(weir('daemon', '--help'), /--state-dir/);
  const example = join(projectRoot, 'appliance/config/example.yaml');
  assert.is(weir('lint', example), apart('lint', example));
});

/** What start.ts loads for `program`, and whether it was compiled ahead; files without code left out. */
function taken(program: string, options: readonly string[] = []): [string, boolean][] {
  const script = `
    const start = require('${join(folder, 'build/start.js')}');
    start.load('${join(folder, 'build/code', program)}');
    console.log(JSON.stringify([...start.taken()]));
    process.exit(0);`;
  const files = JSON.parse(node([...options, '-e', script])) as [string, boolean][];
  return files.filter(([file]) => existsSync(`${file}.code`));
}

test('what was compiled ahead is taken by the daemon, a command and a worker', () => {
  compileAhead(folder, node);
  for (const [program, options] of [
    ['appliance/main.js', []],
    ['appliance/cli/program.js', []],
    ['appliance/l7/worker/worker.js', NODE_OPTIONS],
  ] as const) {
    const files = taken(program, options);
    assert.ok(files.length > 0, `${program} has code`);
    assert.equal(
      files.filter(([, good]) => !good).map(([file]) => file),
      [],
      `of ${program} all is taken`,
    );
  }
  assert.match(weir('--version'), /^\d/);
});

test('code for other options is left alone, and the program runs all the same', () => {
  compileAhead(folder, node);
  const files = taken('appliance/l7/worker/worker.js');
  assert.ok(files.length > 0 && files.every(([, good]) => !good), JSON.stringify(files));
});

test('the same modules are compiled to the same octets', () => {
  const code = (): string[] =>
    (readdirSync(folder, { recursive: true }) as string[])
      .filter((name) => name.endsWith('.code'))
      .sort()
      .map((name) => {
        const bytes = readFileSync(join(folder, name));
        return `${name} ${createHash('sha256').update(bytes).digest('hex')}`;
      });
  compileAhead(folder, node);
  const first = code();
  compileAhead(folder, node);
  assert.ok(first.length > 3, `${first.length} files of code`);
  assert.equal(code(), first);
});

test('every program that a unit or a script of the image starts is a file there', () => {
  const images = join(projectRoot, 'images');
  const named = (readdirSync(images, { recursive: true }) as string[])
    .map((name) => join(images, name))
    .filter((path) => statSync(path).isFile() && !path.endsWith('.ts'))
    .flatMap((path) => [
      ...readFileSync(path, 'utf8').matchAll(new RegExp(`/${PRODUCT}/(build/[^ \\n]+\\.js)`, 'g')),
    ])
    .map(([, program = '']) => program);
  assert.ok(named.length >= 3, `programs were found: ${named.join()}`);
  assert.equal(
    named.filter((program) => !existsSync(join(folder, program))),
    [],
  );
});

test('a file belongs to the package nearest to it', () => {
  const paths = ['node_modules/a/b.js', 'node_modules/a/node_modules/@c/d/e.js', 'build/f.js'];
  assert.equal([...packagesOf(paths)], ['a', '@c/d']);
});

test.run();
