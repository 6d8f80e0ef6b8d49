/** What a reset erases, and that it can be cut short anywhere and finished later. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  accessLogsOf,
  finishReset,
  markReset,
  resetPending,
} from '../../../appliance/system/factory-reset.js';

interface Context {
  folder: string;
  stateDir: string;
  runDir: string;
  logs: string;
}
const test = suite<Context>('factory reset');

test.before.each((context) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-reset-'));
  Object.assign(context, {
    folder,
    stateDir: join(folder, 'state'),
    runDir: join(folder, 'run'),
    logs: join(folder, 'logs'),
  });
  for (const one of ['state', 'state/backups', 'run', 'logs', 'elsewhere']) {
    mkdirSync(join(folder, one));
  }
  for (const file of [
    ...['state/weir.db', 'state/machine-key', 'state/lock', 'state/backups/a', 'run/ticket-keys'],
    ...['logs/shop.log', 'logs/shop.log.1', 'logs/shop.log.12', 'logs/shop.logs', 'elsewhere/file'],
  ]) {
    writeFileSync(join(folder, file), 'content');
  }
  symlinkSync(join(folder, 'elsewhere'), join(folder, 'state/link'));
});
test.after.each(({ folder }) => {
  rmSync(folder, { recursive: true, force: true });
});

test('nothing is erased that was not asked for', (context) => {
  assert.not(finishReset(context));
  assert.ok(existsSync(join(context.stateDir, 'weir.db')));
});

test('all is erased but the lock, other logs, and what a link leads to', (context) => {
  const { folder, stateDir, runDir, logs } = context;
  markReset(stateDir, [join(logs, 'shop.log')]);
  assert.ok(finishReset(context));
  assert.equal(readdirSync(stateDir), ['lock']);
  assert.equal(readdirSync(runDir), []);
  assert.equal(readdirSync(logs), ['shop.logs']);
  assert.ok(existsSync(join(folder, 'elsewhere/file')));
  assert.not(finishReset(context));
});

test('logs stay when they are not named', (context) => {
  markReset(context.stateDir, []);
  finishReset(context);
  assert.is(readdirSync(context.logs).length, 4);
});

test('what was cut short is finished by the next', (context) => {
  const { stateDir } = context;
  // As far as it may have come: each file gone, the note still there.
  for (const gone of ['weir.db', 'machine-key', 'backups']) {
    markReset(stateDir, []);
    rmSync(join(stateDir, gone), { recursive: true, force: true });
    assert.ok(resetPending(stateDir));
    assert.ok(finishReset(context));
    assert.equal(readdirSync(stateDir), ['lock']);
    writeFileSync(join(stateDir, 'weir.db'), 'of the next one');
  }
});

test('a note that cannot be read erases nothing', (context) => {
  const { stateDir } = context;
  writeFileSync(join(stateDir, 'factory-reset'), '{"logs":["relative"]}');
  assert.throws(() => finishReset(context));
  assert.ok(existsSync(join(stateDir, 'weir.db')));
});

test('the logs of a document are its files, each once', () => {
  const listen = { address: '10.0.0.80', port: 80, protocol: 'http' } as const;
  const service = (file?: string) => ({
    ...{ listen, pool: 'web' },
    ...(file === undefined ? {} : { 'access-log': { file } }),
  });
  const services = { a: service('/l/a'), b: service('/l/a'), c: service(), d: service('/l/d') };
  assert.equal(accessLogsOf({ version: 1, unit: { name: 'a' }, services }), ['/l/a', '/l/d']);
  assert.equal(accessLogsOf(null), []);
});

test.run();
