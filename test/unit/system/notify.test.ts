/** What systemd hears of a service of the image. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { notify } from '../../../appliance/system/notify.js';
import { UnixCollector } from '../../support/unix-collector.js';

const test = suite('notifications of systemd');
const folder = mkdtempSync(join(tmpdir(), 'weir-notify-'));
const before = process.env['NOTIFY_SOCKET'];

test.after.each(() => {
  if (before === undefined) delete process.env['NOTIFY_SOCKET'];
  else process.env['NOTIFY_SOCKET'] = before;
});
test.after(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('one datagram has all lines', async () => {
  const path = join(folder, 'notify');
  const systemd = new UnixCollector(path);
  try {
    process.env['NOTIFY_SOCKET'] = path;
    notify('READY=1', 'STATUS=2 services');
    assert.is(await systemd.next(), 'READY=1\nSTATUS=2 services');
    assert.is(systemd.read(), null);
  } finally {
    systemd.close();
  }
});

test('nobody is told where nobody asked, and who is not there is an error', () => {
  delete process.env['NOTIFY_SOCKET'];
  notify('READY=1');
  process.env['NOTIFY_SOCKET'] = join(folder, 'gone');
  assert.throws(() => notify('READY=1'), /ENOENT/);
});

test.run();
