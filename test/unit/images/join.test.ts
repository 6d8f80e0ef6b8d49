/** Modules joined for an image do what they do apart. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
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
import { projectRoot } from '../../../appliance/paths.js';
import { joinModules, packagesOf } from '../../../images/join.js';
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

test('a command runs from few files, with the packages that stay apart', () => {
  const joined = joinModules(join(folder, 'build'));
  for (const name of ['zod', 'yaml', 'fastify']) assert.ok(joined.has(name), name);
  for (const name of ['better-sqlite3', 'koffi', 'blessed']) assert.not(joined.has(name), name);
  cpSync(join(projectRoot, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    version: string;
  };
  assert.match(weir('--version'), version);
  assert.match(weir('daemon', '--help'), /--state-dir/);
  const example = join(projectRoot, 'appliance/config/example.yaml');
  assert.is(weir('lint', example), apart('lint', example));
});

test('every program that a unit or a script of the image starts is a file there', () => {
  joinModules(join(folder, 'build'));
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
