/** `weir backup`, `restore`, `support-bundle`, `factory-reset`, `reboot`: what they ask, write and refuse. */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../support/needs.js';
import { writeWholeFile } from '../../../appliance/cli/secret-file.js';
import { withApi, withFolder } from '../api/fixture.js';
import { BACKUP, COPY, PASSPHRASE } from '../api/fake-system.js';
import { withTerminal, type Screen } from '../../support/terminal.js';
import { program, weir } from './weir.js';

const test = suite('cli: the unit');
const author = userInfo().username;
const input = `${PASSPHRASE}\n`;

test('on a file system without hard links a file is written whole all the same, never over another', () =>
  withFolder(async (folder) => {
    const link = (): Promise<void> =>
      Promise.reject(Object.assign(new Error('no links here'), { code: 'EPERM' }));
    const file = join(folder, 'unit.weirbackup');
    await writeWholeFile(file, Buffer.from('first'), { link });
    assert.is(readFileSync(file, 'utf8'), 'first');
    assert.is(statSync(file).mode & 0o777, 0o600);
    const again = await writeWholeFile(file, Buffer.from('second'), { link }).then(
      () => 'written',
      String,
    );
    assert.match(again, /is there already: name another file\.$/);
    assert.is(readFileSync(file, 'utf8'), 'first');
    assert.equal(readdirSync(folder), ['unit.weirbackup']);
    await writeWholeFile(file, Buffer.from('second'), { link, replace: true });
    assert.is(readFileSync(file, 'utf8'), 'second');
  }));

needs.root(test)('backup writes a private file whole, and never over another one', () =>
  withApi(async ({ daemon, socket, folder }) => {
    const file = join(folder, 'unit.weirbackup');
    const made = await weir(['backup', file, '--passphrase-stdin'], { socket, input });
    assert.equal([made.code, made.err], [0, '']);
    assert.is(readFileSync(file, 'utf8'), 'a backup of unit');
    assert.is(statSync(file).mode & 0o777, 0o600);
    const only = ['backup', file, '--configuration-only', '--passphrase-stdin'];
    const again = await weir(only, { socket, input });
    assert.is(again.code, 1);
    assert.match(again.err, /is there already: name another file, or add --replace/);
    assert.is((await weir([...only, '--replace'], { socket, input })).code, 0);
    assert.is(readFileSync(file, 'utf8'), 'a backup of configuration');
    assert.not(readdirSync(folder).some((name) => name.endsWith('.part')));
    assert.equal(daemon.system.asked[0], {
      method: 'backup',
      argument: { scope: 'unit', passphrase: PASSPHRASE, author },
    });
    const nobody = await weir(['backup', join(folder, 'b')], { socket, input });
    assert.is(nobody.code, 2);
    assert.match(nobody.err, /--passphrase-stdin/);
  }),
);

needs.root(test)('at a terminal a new passphrase is asked for twice, and is not shown', () =>
  withApi(async ({ daemon, socket, folder }) => {
    const typing = (file: string, again: string, act: (screen: Screen) => Promise<void>) => {
      const command = [process.execPath, program, '--socket', socket, 'backup', file];
      const environment = { LC_ALL: 'C.UTF-8', TERM: 'dumb' };
      return withTerminal({ command, environment, columns: 80, rows: 24 }, async (screen) => {
        await screen.until('the question', (text) => text.includes('Passphrase: '));
        screen.send(`${PASSPHRASE}\r`);
        await screen.until('the question again', (text) => text.includes('The same again: '));
        screen.send(`${again}\r`);
        await screen.ended;
        await act(screen);
        assert.not.match(screen.sent(), /horse/);
      });
    };
    await typing(join(folder, 'a'), 'another horse', async (screen) => {
      await screen.until('the refusal', (text) => text.includes('passphrases differ'));
    });
    assert.equal(daemon.system.asked, []);
    await typing(join(folder, 'b'), PASSPHRASE, async (screen) => {
      await screen.until('the end', (text) => text.includes('Wrote '));
    });
    assert.is(readFileSync(join(folder, 'b'), 'utf8'), 'a backup of unit');
  }),
);

needs.root(test)('show says what is in it; restore checks, restores, and says how to go back', () =>
  withApi(async ({ daemon, socket, folder }) => {
    const file = join(folder, 'unit.weirbackup');
    await weir(['backup', file, '--passphrase-stdin'], { socket, input });
    const shown = await weir(['backup', 'show', file, '--passphrase-stdin'], { socket, input });
    assert.equal([shown.code, shown.err], [0, '']);
    assert.match(shown.out, /^Backup of the whole unit weir-a, .* by alice, Weir 0\.1\.0\n/);
    assert.match(
      shown.out,
      /certificates and requests, with their keys\n {4}certificate\/live\/shop/,
    );
    assert.match(shown.out, /1 change of the configuration\n {2}.*pools\.web/);
    const wrong = await weir(['restore', file, '--yes', '--passphrase-stdin'], {
      ...{ socket, input: 'wrong horse\n' },
    });
    assert.is(wrong.code, 4);
    assert.match(wrong.err, /passphrase is not/);
    const unasked = await weir(['restore', file, '--passphrase-stdin'], { socket, input });
    assert.is(unasked.code, 2);
    assert.match(unasked.err, /add --yes/);
    assert.not(daemon.system.asked.some(({ method }) => method === 'restore'));
    const done = await weir(['restore', file, '--yes', '--passphrase-stdin', '--json'], {
      ...{ socket, input },
    });
    assert.is(done.code, 0, done.err);
    assert.is((JSON.parse(done.out) as { copy: string }).copy, COPY);
    const restore = { ...BACKUP.restore, refusal: 'There is no room.' };
    daemon.system.inspected = { ...BACKUP, restore };
    const refused = await weir(['restore', file, '--yes', '--passphrase-stdin'], { socket, input });
    assert.is(refused.code, 4);
    assert.match(refused.err, /It cannot be restored: There is no room\./);
    const none = await weir(['restore', join(folder, 'none'), '--yes', '--passphrase-stdin'], {
      ...{ socket, input },
    });
    assert.match(none.err, /Cannot read .*none/);
  }),
);

needs.root(test)('a reset takes the name of this unit alone; the rest asks or does', () =>
  withApi(async ({ daemon, socket, folder }) => {
    const wrong = await weir(['factory-reset', '--yes-erase', 'weir-b'], { socket });
    assert.equal([wrong.code, wrong.out], [5, '']);
    const nobody = await weir(['factory-reset'], { socket });
    assert.is(nobody.code, 2);
    const done = await weir(['factory-reset', '--yes-erase', 'weir-a', '--keep-logs'], { socket });
    assert.is(done.code, 0, done.err);
    const bundle = join(folder, 'weir.tar.gz');
    assert.is((await weir(['support-bundle', bundle, '--mask-addresses'], { socket })).code, 0);
    assert.is(readFileSync(bundle, 'utf8'), 'a bundle');
    assert.is((await weir(['reboot'], { socket })).code, 2);
    assert.is((await weir(['power-off', '--yes'], { socket })).code, 0);
    assert.equal(daemon.system.asked.slice(1), [
      { method: 'factoryReset', argument: { name: 'weir-a', keepLogs: true, author } },
      { method: 'supportBundle', argument: { maskAddresses: true, author } },
      { method: 'power', argument: { action: 'off', author } },
    ]);
  }),
);

test.run();
