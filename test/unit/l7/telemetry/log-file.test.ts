/** Access logs in files: nothing lost in rotation, files that are moved away, and full disks. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../../support/needs.js';
import { LogFile, type LogFileOptions } from '../../../../appliance/l7/telemetry/log-file.js';

interface Context {
  folder: string;
  told: { kind: string; sentence: string }[];
  /** Waits for the next thing that is told. */
  heard: () => Promise<void>;
  make: (options?: Partial<LogFileOptions>) => LogFile;
  made: LogFile[];
  /** Timers of logs keep no process alive; tests that wait for one do. */
  awake: NodeJS.Timeout;
}

const test = suite<Context>('l7 telemetry: log files');

test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'weir-log-'));
  context.told = [];
  context.made = [];
  context.awake = setInterval(() => undefined, 60_000);
  let wake: (() => void)[] = [];
  context.heard = () => new Promise((resolve) => wake.push(resolve));
  context.make = (options = {}) => {
    const file = new LogFile({
      path: join(context.folder, 'access.log'),
      rotateSize: 0,
      rotateKeep: 3,
      retry: 5,
      tell: (kind, sentence) => {
        context.told.push({ kind, sentence });
        for (const resolve of wake) resolve();
        wake = [];
      },
      ...options,
    });
    context.made.push(file);
    return file;
  };
});

test.after.each(async (context) => {
  clearInterval(context.awake);
  for (const file of context.made) await file.close();
  rmSync(context.folder, { recursive: true, force: true });
});

function put(file: LogFile, text: string): boolean {
  const bytes = Buffer.from(`..${text}\n.`);
  return file.write(bytes, 2, bytes.length - 1);
}

const read = ({ folder }: Context, name = 'access.log'): string =>
  readFileSync(join(folder, name), 'utf8');

test('lines are appended to what is there, and a new file is for owner and group only', async (context) => {
  const file = context.make();
  put(file, 'one');
  put(file, 'two');
  await file.flushed();
  assert.is(read(context), 'one\ntwo\n');
  const { mode } = statSync(file.path);
  assert.is(mode & 0o777 & ~0o640, 0, `mode ${(mode & 0o777).toString(8)}`);
  await file.close();
  const again = context.make();
  put(again, 'three');
  await again.close();
  assert.is(read(context), 'one\ntwo\nthree\n');
  assert.equal(file.figures, { lines: 2, dropped: 0 });
  assert.is(put(again, 'late'), false, 'a closed log takes nothing');
});

test('a file that is large enough gives way, and so many old ones stay', async (context) => {
  const file = context.make({ rotateSize: 100, rotateKeep: 2 });
  for (let i = 0; i < 5; i += 1) {
    put(file, `${i} ${'x'.repeat(60)}`);
    await file.flushed();
  }
  assert.equal(readdirSync(context.folder).sort(), ['access.log', 'access.log.1', 'access.log.2']);
  assert.match(read(context), /^4 x+\n$/);
  assert.match(read(context, 'access.log.1'), /^3 x+\n$/);
  assert.match(read(context, 'access.log.2'), /^2 x+\n$/);
  file.set({ rotateSize: 10, rotateKeep: 0 });
  put(file, 'last');
  await file.flushed();
  assert.is(read(context), 'last\n');
  assert.match(read(context, 'access.log.1'), /^3 /);
});

test('under a steady stream with rotation no line is lost, torn or out of order', async (context) => {
  const file = context.make({ rotateSize: 200_000, rotateKeep: 1000 });
  const lines = 40_000;
  for (let i = 0; i < lines; i += 1) {
    assert.ok(put(file, `${i} ${'y'.repeat(i % 100)}`), `line ${i} was dropped`);
    if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await file.close();
  const names = readdirSync(context.folder).map((name) => Number(name.split('.')[2] ?? 0));
  names.sort((a, b) => b - a);
  assert.ok(names.length > 8, `only ${names.length} files`);
  const parts = names.map((n) => read(context, n === 0 ? 'access.log' : `access.log.${n}`));
  for (const part of parts) {
    assert.ok(part.endsWith('\n'), 'a line is torn between two files');
    assert.ok(part.length <= 200_000, `${part.length} bytes in one file`);
  }
  const all = parts.join('').trimEnd().split('\n');
  assert.is(all.length, lines);
  for (const [i, one] of all.entries()) assert.is(one, `${i} ${'y'.repeat(i % 100)}`);
});

test('a file that was moved away or removed is made anew', async (context) => {
  const file = context.make();
  put(file, 'one');
  await file.flushed();
  renameSync(file.path, `${file.path}.old`);
  put(file, 'two');
  await file.flushed();
  assert.is(read(context, 'access.log.old'), 'one\n');
  assert.is(read(context), 'two\n');
  rmSync(file.path);
  put(file, 'three');
  await file.flushed();
  assert.is(read(context), 'three\n');
  // As logrotate's `create` and `copytruncate` leave it.
  renameSync(file.path, `${file.path}.2`);
  writeFileSync(file.path, '');
  put(file, 'four');
  await file.flushed();
  truncateSync(file.path);
  put(file, 'five');
  await file.flushed();
  assert.is(read(context), 'five\n');
});

test('a folder that is not there is told once, and lines wait for it', async (context) => {
  const file = context.make({ path: join(context.folder, 'sub', 'access.log') });
  put(file, 'one');
  await file.flushed();
  put(file, 'two');
  assert.is(context.told.length, 1);
  assert.match(context.told[0]?.sentence ?? '', /its folder does not exist\. Make it/);
  const heard = context.heard();
  mkdirSync(join(context.folder, 'sub'));
  await heard;
  await file.flushed();
  assert.is(read(context, 'sub/access.log'), 'one\ntwo\n');
  assert.equal(
    context.told.map(({ kind }) => kind),
    ['trouble', 'well'],
  );
});

test('what is no regular file is never written to, and nobody is kept waiting', async (context) => {
  const elsewhere = join(context.folder, 'elsewhere');
  writeFileSync(elsewhere, 'mine');
  symlinkSync(elsewhere, join(context.folder, 'link'));
  const pipe = join(context.folder, 'pipe');
  assert.is(spawnSync('mkfifo', [pipe]).status, 0);
  for (const [name, words] of [
    ['link', /symbolic link/],
    ['pipe', /no regular file/],
    ['.', /no regular file/],
  ] as const) {
    const file = context.make({ path: join(context.folder, name) });
    put(file, 'one');
    await file.flushed();
    assert.match(context.told.at(-1)?.sentence ?? '', words);
    await file.close();
    assert.equal(file.figures, { lines: 0, dropped: 1 });
  }
  assert.is(readFileSync(elsewhere, 'utf8'), 'mine');
});

test('what waits is bounded; more is dropped and counted', async (context) => {
  const file = context.make({ path: join(context.folder, 'sub', 'log'), memory: 100_000 });
  let taken = 0;
  const lines = 5000;
  for (let i = 0; i < lines; i += 1) if (put(file, 'z'.repeat(99))) taken += 1;
  assert.ok(taken >= 600 && taken <= 1000, `${taken} lines were kept`);
  assert.equal(file.figures, { lines: taken, dropped: lines - taken });
  mkdirSync(join(context.folder, 'sub'));
  await file.close();
  assert.is(read(context, 'sub/log').length, taken * 100);
});

needs.root(test)(
  'a full disk is told once, and the line that did not fit is finished later',
  async (context) => {
    const small = join(context.folder, 'small');
    mkdirSync(small);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'weir-test', small]);
    assert.is(mounted.status, 0, mounted.stderr.toString());
    try {
      const file = context.make({ path: join(small, 'log') });
      const lines = 300;
      for (let i = 0; i < lines; i += 1) put(file, `${String(i).padStart(4)} ${'f'.repeat(94)}`);
      await file.flushed();
      put(file, 'more');
      assert.equal(
        context.told.map(({ kind }) => kind),
        ['trouble'],
      );
      assert.match(context.told[0]?.sentence ?? '', /the disk is full\. Make room/);
      const heard = context.heard();
      const grown = spawnSync('mount', ['-o', 'remount,size=1m', small]);
      assert.is(grown.status, 0, grown.stderr.toString());
      await heard;
      await file.close();
      const seen = readFileSync(file.path, 'utf8').trimEnd().split('\n');
      assert.is(seen.length, lines + 1);
      for (let i = 0; i < lines; i += 1) assert.match(seen[i] ?? '', new RegExp(`^ *${i} f{94}$`));
      assert.is(seen.at(-1), 'more');
    } finally {
      for (const file of context.made) await file.close();
      spawnSync('umount', [small]);
    }
  },
);

test('a file that cannot be rotated goes on growing, and that is told once', async (context) => {
  const file = context.make({ rotateSize: 10 });
  // A folder in the place of the old file: nothing can be moved there.
  mkdirSync(join(context.folder, 'access.log.1', 'in'), { recursive: true });
  mkdirSync(join(context.folder, 'access.log.2', 'in'), { recursive: true });
  mkdirSync(join(context.folder, 'access.log.3', 'in'), { recursive: true });
  for (const text of ['0123456789', 'abcdefghij', 'last']) {
    put(file, text);
    await file.flushed();
  }
  assert.is(read(context), '0123456789\nabcdefghij\nlast\n');
  assert.is(context.told.length, 1);
  assert.match(context.told[0]?.sentence ?? '', /cannot be rotated and goes on growing/);
});

test('a log that nobody wants any more holds no file open', async (context) => {
  const file = context.make();
  const open = (): boolean =>
    readdirSync('/proc/self/fd').some((fd) => {
      const about = spawnSync('readlink', [`/proc/${process.pid}/fd/${fd}`]);
      return about.stdout.toString().trim() === file.path;
    });
  put(file, 'one');
  await file.flushed();
  assert.is(open(), true);
  file.rest();
  await file.flushed();
  assert.is(open(), false);
  put(file, 'two');
  await file.flushed();
  assert.is(open(), false);
  assert.is(read(context), 'one\ntwo\n');
  chmodSync(file.path, 0o600);
  assert.ok(existsSync(file.path));
});

test.run();
