/**
 * The packet filter of the management side, in the kernel: a unit with an interface for management and one for
 * services, and a neighbour at each.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { joinNetworkNamespace } from '../../native/ffi/namespace.js';
import { managementRules } from '../../appliance/system/files/management.js';
import type { Unit } from '../../appliance/config/unit.js';
import { needs } from '../support/needs.js';

const test = suite('the management side');
const lab = needs.lab(test);

const name = (what: string): string => `weir-management-${process.pid}-${what}`;
const UNIT = name('unit');
const SIDES = [
  { side: 'manager', device: 'mgmt0', net: '10.66.1' },
  { side: 'client', device: 'eth0', net: '10.66.2' },
] as const;
/** What listens at the unit: SSH, a service, the pair, metrics, and something that nobody meant to show. */
const PORTS = [22, 80, 9347, 9477, 6000];
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh';
const servers: Server[] = [];

function run(program: string, words: readonly string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', input });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`);
  return stdout;
}

const ip = (line: string): string => run('ip', line.split(' '));

function within<T>(namespace: string, work: () => T): T {
  const leave = joinNetworkNamespace(`/run/netns/${namespace}`);
  try {
    return work();
  } finally {
    leave();
  }
}

function rules(unit: Pick<Unit, 'network' | 'ssh' | 'metrics'>): void {
  const text = managementRules({ name: 'box', ...unit });
  run('ip', ['netns', 'exec', UNIT, 'nft', '-f', '-'], text);
}

/** What bash says of a connection from a namespace; a SYN that is dropped is given half a second. */
function dial(namespace: string, words: string): Promise<{ status: number | null; said: string }> {
  const inside = ['netns', 'exec', namespace, 'timeout', '0.5', 'bash', '-c', words];
  return new Promise((resolve) => {
    const child = spawn('ip', inside, { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    child.stdout.on('data', (data: Buffer) => (said += data.toString()));
    child.once('close', (status) => {
      resolve({ status, said });
    });
  });
}

/** Ports of the unit that can be reached from a side. */
async function reached({ side, net }: (typeof SIDES)[number]): Promise<number[]> {
  const answers = await Promise.all(
    PORTS.map((port) => dial(name(side), `exec 3<>/dev/tcp/${net}.1/${port}`)),
  );
  return PORTS.filter((_, index) => answers[index]?.status === 0);
}

function clean(): void {
  for (const server of servers.splice(0)) server.close();
  for (const what of ['unit', 'manager', 'client']) {
    spawnSync('ip', ['netns', 'delete', name(what)]);
  }
}

test.before(async () => {
  for (const what of ['unit', 'manager', 'client']) ip(`netns add ${name(what)}`);
  for (const { side, device, net } of SIDES) {
    ip(`-n ${UNIT} link add ${device} type veth peer name eth0 netns ${name(side)}`);
    ip(`-n ${UNIT} address add ${net}.1/24 dev ${device}`);
    ip(`-n ${UNIT} link set ${device} up`);
    ip(`-n ${name(side)} address add ${net}.2/24 dev eth0`);
    ip(`-n ${name(side)} link set eth0 up`);
    ip(`-n ${name(side)} route add default via ${net}.1`);
  }
  await Promise.all(
    PORTS.map(
      (port) =>
        new Promise<void>((resolve, reject) => {
          const server = createServer((socket) => socket.destroy());
          servers.push(server);
          server.once('error', reject);
          // With a host it would be opened later, in the namespace of that moment.
          within(UNIT, () => server.listen(port, resolve));
        }),
    ),
  );
  process.once('exit', clean);
});
test.after(clean);

const management = { management: 'mgmt0', interfaces: {} };
const [manager, client] = SIDES;

lab('without an interface for management everything is as it was', async () => {
  rules({});
  assert.equal(await reached(manager), PORTS);
  assert.equal(await reached(client), PORTS);
});

lab('the management side is closed but for what is switched on', async () => {
  rules({ network: management });
  assert.equal(await reached(manager), [9347], 'a unit can be paired at any time');
  assert.equal(await reached(client), [80, 9347, 9477, 6000], 'services are not touched');
  rules({
    network: management,
    ssh: { keys: [KEY] },
    metrics: { listen: ['10.66.1.1:9477'] },
  });
  assert.equal(await reached(manager), [22, 9347, 9477]);
  assert.equal(await reached(client), [80, 9347, 9477, 6000], 'and no SSH by their side');
});

lab('what the unit asks there is answered', async () => {
  rules({ network: management });
  const server = within(name('manager'), () => createServer((socket) => socket.end('hello')));
  servers.push(server);
  await new Promise<void>((resolve) => {
    within(name('manager'), () => server.listen(25, resolve));
  });
  const { said } = await dial(UNIT, `cat </dev/tcp/${manager.net}.2/25`);
  assert.is(said, 'hello');
  const ping = ['netns', 'exec', name('manager'), 'ping', '-c', '1', '-W', '2', `${manager.net}.1`];
  assert.match(run('ip', ping), / 0% packet loss/);
});

lab('the management network is no way to the services, and they are none to it', () => {
  run('ip', ['netns', 'exec', UNIT, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
  const across = (from: (typeof SIDES)[number], to: (typeof SIDES)[number]): number | null =>
    spawnSync('ip', [
      ...['netns', 'exec', name(from.side), 'ping', '-c', '1', '-W', '1', `${to.net}.2`],
    ]).status;
  rules({});
  assert.is(across(manager, client), 0, 'the kernel forwards without the filter');
  rules({ network: management });
  assert.is(across(manager, client), 1);
  assert.is(across(client, manager), 1);
});

test.run();
