/**
 * A box whose own network, host files and SSH come from its configuration alone: reached at the management
 * side and nowhere else, by a key and no password, and the same again after its power was cut.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../support/needs.js';
import type { Machine } from '../../support/qemu.js';
import { inNamespace } from '../namespace.js';
import { isAnswered, makeVolume, PATIENCE_MS, READY, Stage } from '../stage.js';

const test = suite('the management side of the image');
const image = needs.image(test);
const stage = new Stage(test, 'management');
const file = (name: string): string => stage.file(name);

const configuration = (key: string): string => `version: 1
unit:
  name: box_one
  interfaces: [enp0s6]
  time-zone: Europe/Berlin
  keyboard: de-latin1
  network:
    management: enp0s5
    interfaces:
      enp0s5: { addresses: [10.98.0.3/24] }
      enp0s6: { addresses: [10.99.0.3/24] }
    dns: { servers: [10.98.0.2] }
    ntp: { servers: [10.98.0.2] }
  ssh:
    keys: ['${key.trim()}']
pools:
  web: { members: [{ address: 10.99.0.11, port: 8080 }] }
services:
  proxied: { listen: { address: 10.99.0.80, port: 80, protocol: http }, pool: web }
`;

/** What the box shows a person who comes by SSH, until `pattern` or for `ms`. */
function bySsh(address: string, key: string, pattern: RegExp, ms: number): Promise<string> {
  const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'ConnectTimeout=10'];
  const known = `UserKnownHostsFile=${file('known')}`;
  const words = ['ssh', '-tt', '-i', key, ...[...options, known].flatMap((one) => ['-o', one])];
  // In a terminal of its own, since ssh hands on the size of the one that it is in.
  const line = `stty rows 24 cols 80; exec ${[...words, `weir-console@${address}`].join(' ')}`;
  const ssh = spawn('script', ['--quiet', '--flush', '--command', line, '/dev/null'], {
    env: { ...process.env, TERM: 'vt220' },
  });
  let seen = '';
  return new Promise((resolve) => {
    const timer = setTimeout(() => ssh.kill(), ms);
    const take = (data: Buffer): void => {
      seen += data.toString('latin1');
      if (pattern.test(seen)) ssh.kill();
    };
    ssh.stdout.on('data', take);
    ssh.stderr.on('data', take);
    ssh.once('close', () => {
      clearTimeout(timer);
      resolve(seen);
    });
  });
}

function keyPair(name: string): string {
  const made = spawnSync('ssh-keygen', [
    '-q',
    '-t',
    'ed25519',
    '-N',
    '',
    '-C',
    name,
    '-f',
    file(name),
  ]);
  assert.is(made.status, 0, made.stderr.toString());
  return file(name);
}

async function isManaged(machine: Machine, key: string, stranger: string): Promise<void> {
  await isAnswered('10.99.0.80');
  const shown = await bySsh('10.98.0.3', key, /Password/, 120_000);
  assert.ok(/Password/.test(shown), `the dashboard asks who it is; it showed: ${shown}`);
  assert.match(await bySsh('10.98.0.3', stranger, /denied/, 60_000), /Permission denied/);
  assert.match(await bySsh('10.99.0.3', key, /timed out|refused/, 30_000), /timed out|refused/);
  const text = await machine.shell(
    [
      'echo host $(cat /proc/sys/kernel/hostname)',
      'echo zone $(readlink /etc/localtime)',
      'echo resolver $(grep nameserver /etc/resolv.conf)',
      'echo sources $(chronyc -n sources | grep -c 10.98.0.2)',
      'echo failed $(systemctl --failed --no-legend | wc -l)',
      'ip -o -4 address show scope global | sed "s/ *valid_lft.*//"',
      'weir show events --kind link',
      'weir status',
    ].join('; '),
  );
  console.log(text.replace(/^/gm, '  '));
  assert.match(text, /^host box-one$/m);
  assert.match(text, /^zone .*Europe\/Berlin$/m);
  assert.match(text, /^resolver nameserver 10\.98\.0\.2$/m);
  assert.match(text, /^sources 1$/m);
  assert.match(text, /^failed 0$/m);
  assert.not.match(text, /cannot (run|write)/);
}

image('a box is set up by its configuration alone, and managed by SSH', async () => {
  const key = keyPair('somebody');
  const stranger = keyPair('stranger');
  writeFileSync(file('weir.yaml'), configuration(readFileSync(`${key}.pub`, 'utf8')));
  writeFileSync(file('administrator'), 'a long enough password\n');
  const seed = makeVolume(file('seed.img'), [file('weir.yaml'), file('administrator')]);
  const start = (): Machine => stage.start({ seed, overlay: file('disk.qcow2') });
  const first = start();
  await first.says(READY, PATIENCE_MS);
  await isManaged(first, key, stranger);
  const identity = await first.shell('cat /data/ssh/ssh_host_ed25519_key.pub');
  await first.shell('sync');
  await first.cut();
  const second = start();
  await second.says(READY, PATIENCE_MS);
  await isManaged(second, key, stranger);
  assert.is(await second.shell('cat /data/ssh/ssh_host_ed25519_key.pub'), identity);
});

inNamespace(import.meta.url, () => {
  test.run();
});
