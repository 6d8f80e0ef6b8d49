/** Files of the host by the document, in a folder that stands for its root. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { unitSchema, type Unit } from '../../../appliance/config/unit.js';
import { hostNameOf } from '../../../appliance/system/files/contents.js';
import { SystemFiles } from '../../../appliance/system/files/system-files.js';

const test = suite<{ host: Host }>('files of the host');

class Host {
  readonly root = mkdtempSync(join(tmpdir(), 'weir-host-'));
  /** What was run, and what a program fails with. */
  readonly ran: string[] = [];
  failure: Error | null = null;
  changes = 0;
  readonly files: SystemFiles;

  constructor() {
    this.write('usr/share/zoneinfo/Europe/Berlin', 'TZif');
    this.files = this.begin();
  }

  begin(): SystemFiles {
    return new SystemFiles({
      root: this.root,
      run: async (program, words) => {
        this.ran.push([program, ...words].join(' '));
        if (this.failure !== null) throw this.failure;
      },
      onChange: () => (this.changes += 1),
      onError: (error) => {
        throw error;
      },
    });
  }

  path(name: string): string {
    return join(this.root, name);
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  has(name: string): boolean {
    return existsSync(this.path(name));
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }
}

const unit = (more: object = {}): Unit => unitSchema.parse({ name: 'lb_a', ...more });

test.before.each((context) => {
  context.host = new Host();
});
test.after.each(({ host }) => {
  host.files.close();
  rmSync(host.root, { recursive: true });
});

test('name, resolvers, time servers, time zone and keyboard are written, and told', async ({
  host,
}) => {
  const wanted = unit({
    'time-zone': 'Europe/Berlin',
    keyboard: 'de-latin1',
    network: {
      dns: { servers: ['10.0.0.53', '2001:db8::53'], search: ['example.org', 'example.net'] },
      ntp: { servers: ['10.0.0.123', 'time.example.org'] },
    },
  });
  await host.files.follow(wanted);
  assert.equal(host.files.problems, []);
  assert.is(host.read('etc/hostname'), 'lb-a\n');
  const lines = (name: string): string[] =>
    host
      .read(name)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
  assert.equal(lines('etc/resolv.conf'), [
    'search example.org example.net',
    'nameserver 10.0.0.53',
    'nameserver 2001:db8::53',
  ]);
  assert.equal(lines('etc/chrony/sources.d/weir.sources'), [
    'server 10.0.0.123 iburst',
    'server time.example.org iburst',
  ]);
  assert.is(readlinkSync(host.path('etc/localtime')), '/usr/share/zoneinfo/Europe/Berlin');
  assert.is(host.read('etc/timezone'), 'Europe/Berlin\n');
  assert.equal(lines('etc/default/keyboard'), ['XKBLAYOUT=de']);
  assert.equal(lines('etc/vconsole.conf'), ['KEYMAP=de-latin1']);
  assert.is(statSync(host.path('etc/resolv.conf')).mode & 0o777, 0o644, 'everybody may read it');
  assert.equal(host.ran.sort(), [
    'chronyc reload sources',
    'loadkeys --quiet --console /dev/tty0 de-latin1',
  ]);

  const { ino } = statSync(host.path('etc/resolv.conf'));
  host.ran.length = 0;
  await host.files.follow(wanted);
  assert.is(statSync(host.path('etc/resolv.conf')).ino, ino, 'what is right is not written');
  assert.equal(host.ran, []);
});

test('what was there before comes back, and what was not goes', async ({ host }) => {
  host.write('etc/hostname', 'lb-a\n');
  host.write('etc/default/keyboard', 'XKBLAYOUT=fr\n');
  symlinkSync('/run/systemd/resolve/resolv.conf', host.path('etc/resolv.conf'));
  const names = (): string[] => readdirSync(host.path('etc')).sort();
  const before = names();
  const wanted = {
    'time-zone': 'Europe/Berlin',
    keyboard: 'de',
    network: { dns: { servers: ['10.0.0.53'] } },
  };
  await host.files.follow(unit(wanted));
  assert.ok(lstatSync(host.path('etc/resolv.conf')).isFile());
  // A daemon that begins anew knows what is its own.
  host.files.close();
  const next = host.begin();
  await next.follow(unit({ ...wanted, network: { dns: { servers: ['10.0.0.54'] } } }));
  assert.match(host.read('etc/resolv.conf'), /10\.0\.0\.54/);
  await next.follow(unit());
  next.close();
  assert.is(readlinkSync(host.path('etc/resolv.conf')), '/run/systemd/resolve/resolv.conf');
  assert.is(host.read('etc/default/keyboard'), 'XKBLAYOUT=fr\n');
  assert.equal(names(), before);
});

test('what cannot be done is told with the reason, and hinders nothing else', async ({ host }) => {
  mkdirSync(host.path('etc/resolv.conf'), { recursive: true });
  host.failure = Object.assign(new Error('spawn chronyc ENOENT'), { code: 'ENOENT' });
  const wanted = unit({
    'time-zone': 'Asia/Tokyo',
    network: { dns: { servers: ['10.0.0.53'] }, ntp: { servers: ['10.0.0.123'] } },
  });
  await host.files.follow(wanted);
  assert.is(host.changes, 1);
  const told = host.files.problems.join('\n');
  assert.match(told, /cannot write .*\/etc\/resolv\.conf: .* is no file/);
  assert.match(told, /cannot write .*\/etc\/timezone: this host has no time zone Asia\/Tokyo/);
  assert.match(told, /cannot run chronyc reload sources: it is not installed \(package chrony\)/);
  assert.is(host.read('etc/hostname'), 'lb-a\n');

  rmSync(host.path('etc/resolv.conf'), { recursive: true });
  host.failure = null;
  await host.files.follow(unit({ network: wanted.network }));
  assert.equal(host.files.problems, []);
  assert.is(host.ran.filter((line) => line.startsWith('chronyc')).length, 2, 'it is told again');
  assert.is(host.changes, 2);
});

test('a host’s name has what a host’s name may have', () => {
  assert.is(hostNameOf('lb-1.example.org'), 'lb-1.example.org');
  assert.is(hostNameOf('lb_1'), 'lb-1');
});

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh';

test('the management side is closed, and SSH begins and ends, with the configuration', async ({
  host,
}) => {
  const rules = 'etc/nftables.d/weir-management.nft';
  const keys = 'etc/ssh/weir-keys';
  const management = unitSchema.parse({ name: 'box', network: { management: 'mgmt0' } });
  await host.files.follow({ ...management, ssh: { keys: [KEY] } });
  assert.match(host.read(rules), /iifname "mgmt0" jump management/);
  assert.is(host.read(keys), `${KEY}\n`);
  const started = 'systemctl start weir-ssh.service';
  assert.equal(host.ran.splice(0), [`nft -f ${host.path(rules)}`, started]);
  const again = host.begin();
  await again.follow({ ...management, ssh: { keys: [KEY] } });
  assert.equal(
    host.ran.splice(0).sort(),
    [`nft -f ${host.path(rules)}`, started],
    'a host that started anew has neither',
  );
  await again.follow(unitSchema.parse({ name: 'box' }));
  assert.equal([host.has(rules), host.has(keys)], [false, false], 'what was written is taken away');
  assert.equal(host.ran, [
    'nft table inet weir-management; delete table inet weir-management',
    'systemctl stop weir-ssh.service',
  ]);
  again.close();
});

test('networkd leaves the interfaces alone that the document has', async ({ host }) => {
  const path = 'run/systemd/network/05-weir.network';
  const network = { interfaces: { eth0: { addresses: ['10.0.0.2/24'] }, eth1: {} } };
  await host.files.follow(unit({ network }));
  assert.match(host.read(path), /\[Match\]\nName=eth0 eth1\n\[Link\]\nUnmanaged=yes\n/);
  assert.equal(host.ran, [], 'there is no networkd');
  mkdirSync(host.path('run/systemd/netif'));
  await host.files.follow(unit());
  assert.not.ok(host.has(path));
  assert.equal(host.ran, ['systemctl try-restart systemd-networkd.service']);
});

test.run();
