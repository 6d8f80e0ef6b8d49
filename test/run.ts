/**
 * Runs everything that this machine can: lint, format, types, then every test file in
 * a process of its own, and at the end looks for leftovers.
 *
 *     node build/test/run.js [WORD…]     only steps and files whose name has one of the words
 *
 * Invariant: the last line is `N passed, N failed, N skipped`, and the exit status is 0
 * exactly when nothing failed. Every skipped test is named with its reason above it.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { leftovers, runMark, traces } from './support/leftovers.js';
import { runFile, type FileResult } from './support/test-file.js';

const built = fileURLToPath(new URL('.', import.meta.url));
const root = join(built, '..', '..');

/** Time a file may take, in milliseconds, by the folder it is in. */
const limits: Readonly<Record<string, number>> = {
  unit: 120_000,
  bpf: 180_000,
  fuzz: 240_000,
  faults: 300_000,
  lab: 420_000,
  image: 900_000,
  'image/long': 3_600_000,
};
/** Only for those who ask for it by name: too long for every run. */
const byNameAlone = 'image/long/';
/** Files here run two at a time, as the steps do; all others alone, since they share the kernel or the CPU. */
const parallelFolder = 'unit';

const steps: readonly { name: string; script: string; arguments: readonly string[] }[] = [
  { name: 'lint', script: 'node_modules/eslint/bin/eslint.js', arguments: ['.'] },
  {
    name: 'format',
    script: 'node_modules/prettier/bin/prettier.cjs',
    arguments: ['--check', '--log-level', 'warn', '.'],
  },
  { name: 'types', script: 'node_modules/typescript/bin/tsc', arguments: ['--noEmit'] },
];

let passed = 0;
let failed = 0;
const skipped: string[] = [];

/** Of the longest folder that has one. */
function limitOf(name: string): number {
  const folders = Object.keys(limits).filter((folder) => name.startsWith(`${folder}/`));
  const deepest = folders.sort((a, b) => b.length - a.length)[0];
  return (deepest === undefined ? undefined : limits[deepest]) ?? 120_000;
}

function indented(text: string): string {
  return text.trimEnd().replace(/^(?=.)/gm, '      ');
}

function line(verdict: 'ok' | 'FAIL', name: string, figures: string, milliseconds: number): void {
  const seconds = (milliseconds / 1000).toFixed(1);
  console.log(`${verdict.padEnd(5)} ${name.padEnd(36)} ${figures.padEnd(32)} ${seconds} s`);
}

async function runStep(step: (typeof steps)[number]): Promise<void> {
  const begun = performance.now();
  const child = spawn(process.execPath, [join(root, step.script), ...step.arguments], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  interrupted.signal.addEventListener('abort', () => child.kill());
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  }
  const [status] = (await once(child, 'close')) as [number | null];
  const good = status === 0;
  if (good) passed += 1;
  else failed += 1;
  line(good ? 'ok' : 'FAIL', step.name, '', performance.now() - begun);
  if (!good) console.log(indented(said));
}

function report(name: string, result: FileResult): void {
  passed += result.passed;
  failed += result.failed;
  for (const skip of result.skips) skipped.push(`${name}: "${skip.name}": ${skip.reason}`);
  const figures = [
    `${result.passed} passed`,
    ...(result.failed > 0 ? [`${result.failed} failed`] : []),
    ...(result.skips.length > 0 ? [`${result.skips.length} skipped`] : []),
  ];
  line(result.failed === 0 ? 'ok' : 'FAIL', name, figures.join(', '), result.milliseconds);
  if (result.trouble !== null) console.log(`      this file ${result.trouble}.`);
  if (result.failed > 0) console.log(indented(result.output));
}

/** Test files as names like `unit/config/schema`, in a fixed order: quick folders first. */
function testFiles(): string[] {
  const order = Object.keys(limits);
  const rank = (name: string): number => {
    const index = order.indexOf(name.split('/')[0] ?? '');
    return index === -1 ? order.length : index;
  };
  return readdirSync(built, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
    .map((entry) =>
      relative(built, join(entry.parentPath, entry.name)).slice(0, -'.test.js'.length),
    )
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

/** The work of each, `count` at a time, in this order. */
async function atOnce<T>(
  count: number,
  all: readonly T[],
  work: (one: T) => Promise<void>,
): Promise<void> {
  const queue = [...all];
  const worker = async (): Promise<void> => {
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) {
      if (interrupted.signal.aborted) return;
      await work(one);
    }
  };
  await Promise.all(Array.from({ length: count }, worker));
}

async function runTestFile(name: string): Promise<void> {
  const file = join(built, `${name}.test.js`);
  const limit = limitOf(name);
  report(name, await runFile(file, { limit, env, signal: interrupted.signal }));
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    console.log(`${signal}: ending what runs now.`);
    failed += 1;
    interrupted.abort();
  });
}

const words = process.argv.slice(2);
const wanted = (name: string): boolean =>
  words.length === 0 || words.some((word) => name.includes(word));
const chosenSteps = steps.filter((step) => wanted(step.name));
const chosenFiles = testFiles().filter(
  (name) => wanted(name) && (words.length > 0 || !name.startsWith(byNameAlone)),
);
if (chosenSteps.length + chosenFiles.length === 0) {
  console.error(
    `No step and no test file has ${words.map((word) => `"${word}"`).join(' or ')} in its name.`,
  );
  process.exit(2);
}

// Everything temporary goes below one directory, so that what is forgotten there shows.
const mark = String(process.pid);
const temporary = mkdtempSync(join(tmpdir(), 'weir-test-'));
// Some tests ask as another user of the system, who must get as far as the socket.
chmodSync(temporary, 0o711);
const before = traces();
mkdirSync(join(root, 'build'), { recursive: true });
const env: NodeJS.ProcessEnv = {
  ...process.env,
  NO_COLOR: '1',
  TMPDIR: temporary,
  [runMark]: mark,
  // Seconds: no worker of a daemon outlives the run by more.
  WEIR_L7_LINGER: '30',
};
delete env['FORCE_COLOR'];

try {
  const together = chosenFiles.filter((name) => name.startsWith(`${parallelFolder}/`));
  const alone = chosenFiles.filter((name) => !together.includes(name));
  await atOnce(2, [...chosenSteps, ...together], (one) =>
    typeof one === 'string' ? runTestFile(one) : runStep(one),
  );
  await atOnce(1, alone, runTestFile);
  const left = leftovers(before, mark, temporary);
  if (left.length > 0) {
    failed += 1;
    line('FAIL', 'leftovers', '', 0);
    console.log(indented(left.join('\n')));
  } else {
    passed += 1;
    line('ok', 'leftovers', 'none', 0);
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((skip) => `  ${skip}`).join('\n')}`);
console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
