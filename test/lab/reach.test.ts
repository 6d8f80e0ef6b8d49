/**
 * What a unit reaches from where it stands: a unit, a router and a host behind it in three network
 * namespaces, and a real daemon that asks.
 *
 * Invariant: it makes its own namespaces and leaves none, also when it fails.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  NetworkView,
  PingResult,
  ResolveResult,
  TraceResult,
  TrialRow,
} from '../../appliance/api/contract.js';
import { Client } from '../../appliance/cli/client.js';
import { Child } from '../support/child.js';
import { needs } from '../support/needs.js';
import { until } from './unit.js';

const test = suite('what a unit reaches');
const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
const names = ['unit', 'router', 'far'].map((role) => `weirtest-${process.pid}-${role}`);
const [unit = '', router = '', far = ''] = names;

const made = new Set<string>();
process.on('exit', () => {
  for (const name of made) spawnSync('ip', ['netns', 'delete', name]);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

function run(command: string, ...words: string[]): void {
  const { status, stderr } = spawnSync(command, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${words.join(' ')}: ${stderr}`);
}

function ip(line: string): void {
  run('ip', ...line.split(' '));
}

/** Answers every question for an IPv4 address with 192.0.2.7 and has nothing else (RFC 1035 §4). */
const resolver = `
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (question, from) => {
    const end = question.indexOf(0, 12) + 5;
    const isA = question.readUInt16BE(end - 4) === 1;
    const head = Buffer.from([question[0], question[1], 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
    const row = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7]);
    const answer = [head, question.subarray(12, end), ...(isA ? [row] : [])];
    socket.send(Buffer.concat(answer), from.port, from.address);
  });
  socket.bind(53, '10.2.0.2', () => console.log('ready'));
  require('node:net').createServer((one) => one.destroy()).listen(80, '10.2.0.2');
`;

needs.lab(test)('echoes, the way, names, and a member as its monitor asks it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-reach-'));
  const pins = `/sys/fs/bpf/${unit}`;
  const client = new Client(join(folder, 'weir.sock'));
  const children: Child[] = [];
  let daemon: ChildProcess | null = null;
  try {
    for (const name of names) {
      ip(`netns add ${name}`);
      made.add(name);
      ip(`-n ${name} link set lo up`);
    }
    ip(`-n ${unit} link add eth0 type veth peer name eth0 netns ${router}`);
    ip(`-n ${router} link add eth1 type veth peer name eth0 netns ${far}`);
    for (const [name, device, four, six] of [
      [unit, 'eth0', '10.1.0.1', 'fd01::1'],
      [router, 'eth0', '10.1.0.254', 'fd01::fe'],
      [router, 'eth1', '10.2.0.254', 'fd02::fe'],
      [far, 'eth0', '10.2.0.2', 'fd02::2'],
    ] as const) {
      ip(`-n ${name} address add ${four}/24 dev ${device}`);
      ip(`-n ${name} address add ${six}/64 dev ${device} nodad`);
      ip(`-n ${name} link set ${device} up`);
    }
    for (const [name, four, six] of [
      [unit, '10.1.0.254', 'fd01::fe'],
      [far, '10.2.0.254', 'fd02::fe'],
    ] as const) {
      ip(`-n ${name} route add default via ${four}`);
      ip(`-n ${name} route add default via ${six}`);
    }
    const forwarding = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];
    run('ip', 'netns', 'exec', router, 'sysctl', '-q', ...forwarding);
    const peer = new Child('ip', ['netns', 'exec', far, process.execPath, '-e', resolver]);
    children.push(peer);
    await peer.says(/ready/);

    daemon = spawn('ip', [
      ...['netns', 'exec', unit, process.execPath, program, 'daemon', '--bpf-dir', pins],
      ...['--state-dir', join(folder, 'state'), '--run-dir', join(folder, 'run')],
      ...['--socket', client.socket],
    ]);
    await until('the daemon answers', 30_000, async () =>
      client.text({ path: '/v1/version' }).then(
        () => true as const,
        (error: Error) => error.message,
      ),
    );
    const ask = <T>(path: string, json: object): Promise<T> =>
      client.json<T>({ method: 'POST', path, json });

    const view = await client.json<NetworkView>({ path: '/v1/network' });
    const eth0 = view.interfaces.find(({ name }) => name === 'eth0');
    assert.equal([eth0?.up, eth0?.carrier, view.host], [true, true, []]);
    assert.ok(eth0?.addresses.some(({ address }) => address === '10.1.0.1/24'));
    assert.ok(view.routes.some(({ to, via }) => to === 'default' && via === '10.1.0.254'));

    for (const [end, first] of [
      ['10.2.0.2', '10.1.0.254'],
      ['fd02::2', 'fd01::fe'],
    ] as const) {
      const ping = await ask<PingResult>('/v1/network/ping', { address: end, count: 1 });
      assert.equal([ping.received, ping.answers[0]?.from], [1, end]);
      const trace = await ask<TraceResult>('/v1/network/traceroute', { address: end });
      assert.equal(
        trace.hops.map(({ from }) => from),
        [first, end],
      );
      assert.ok(trace.reached);
    }
    const nobody = await ask<PingResult>('/v1/network/ping', { address: '10.9.0.1', count: 1 });
    assert.equal([nobody.received, nobody.answers[0]?.result], [0, 'unreachable']);
    assert.is(nobody.answers[0]?.from, '10.1.0.254', 'the router says so');

    const question = { name: 'shop.example', server: '10.2.0.2' };
    const resolved = await ask<ResolveResult>('/v1/network/resolve', question);
    assert.equal(resolved.answers, [{ type: 'A', value: '192.0.2.7' }]);
    assert.equal(resolved.problems, []);
    await ask('/v1/network/ping', { address: 'localhost' }).then(
      () => assert.unreachable('a name was taken for an address'),
      (error: Error) => assert.match(error.message, /localhost is no address/),
    );

    const document = {
      version: 1,
      unit: { name: 'a' },
      pools: {
        web: {
          members: [
            { address: '10.2.0.2', port: 80 },
            { address: '10.2.0.2', port: 81 },
          ],
        },
      },
    };
    await client.json({ method: 'PUT', path: '/v1/config', json: document });
    const tried = (port: number): Promise<TrialRow> =>
      ask<TrialRow>(`/v1/pools/web/members/${encodeURIComponent(`10.2.0.2:${port}`)}/try`, {});
    const well = await tried(80);
    assert.equal([well.monitor, well.outcome], ['tcp', 'pass']);
    assert.type(well.latencyMs, 'number');
    assert.equal(
      [(await tried(81)).outcome, (await tried(81)).reason],
      ['fail', 'connection refused'],
    );
  } finally {
    if (daemon !== null) {
      const child = daemon;
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    for (const child of children) await child.end();
    for (const name of made) ip(`netns delete ${name}`);
    made.clear();
    rmSync(pins, { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
