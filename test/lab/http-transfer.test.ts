/**
 * Much of everything through the whole unit: bodies of a gigabyte, thousands of connections, clients
 * that read nothing or send an octet at a time; and what all that costs the worker in memory.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import type { Echo } from './http-member-process.js';
import { IdleClients } from './idle-clients.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { RawClient } from './raw-client.js';
import { pause } from './unit.js';

const test = suite('much through the unit');
const lab = needs.lab(test);
const GIGABYTE = 1 << 30;
const MEGABYTE = 1 << 20;
const web = `http://${service4}`;
const pattern = fileURLToPath(new URL('./pattern.js', import.meta.url));
let stage: ProxyLab;

test.before(
  loud(async () => {
    stage = await ProxyLab.open(['member-1']);
    await stage.apply({
      unit: { workers: 1 },
      pools: { web: { members: membersOf(['member-1']) } },
      services: {
        web: { listen: listenAt(80), pool: 'web' },
      },
    });
  }),
);

test.after(() => stage.close());

/** The most memory that the worker had while `work` was under way, beyond what it has now. */
async function growthDuring(work: Promise<unknown>): Promise<number> {
  const before = stage.workerMemory();
  let most = 0;
  let over = false;
  const done = work.finally(() => (over = true));
  // Whoever awaits `done` later hears of its failure; here it must not end the process before.
  done.catch(() => undefined);
  while (!over) {
    most = Math.max(most, stage.workerMemory() - before);
    await pause(50);
  }
  await done;
  return most;
}

/** What a line of shell prints. */
async function shell(line: string): Promise<string> {
  const ran = await stage.run('bash', '-o', 'pipefail', '-c', line);
  if (ran.status !== 0) throw new Error(`${line} ended with ${ran.status}: ${ran.stderr}`);
  return ran.stdout.trim();
}

function inMegabytes(bytes: number): string {
  return `${(bytes / MEGABYTE).toFixed(1)} MiB`;
}

lab('a gigabyte comes down and goes up whole, in bounded memory', async () => {
  const expected = shell(`"${process.execPath}" "${pattern}" ${GIGABYTE} | sha256sum`);
  let down = '';
  let up: Echo | null = null;
  const growth = await growthDuring(
    (async () => {
      down = await shell(`curl -sSf ${web}/pattern/${GIGABYTE} | sha256sum`);
      const sent = `"${process.execPath}" "${pattern}" ${GIGABYTE} | curl -sSf -T - ${web}/echo`;
      up = JSON.parse(await shell(sent)) as Echo;
    })(),
  );
  assert.is(down, await expected);
  const { bytes, sha256 } = up ?? { bytes: 0, sha256: '' };
  assert.is(bytes, GIGABYTE);
  assert.is(`${sha256}  -`, await expected);
  console.log(`a gigabyte each way: the worker grew by ${inMegabytes(growth)}`);
  // Its 32 MiB of receive buffers are touched for the first time here.
  assert.ok(growth < 64 * MEGABYTE, `expected under 64 MiB, seen ${inMegabytes(growth)}`);
});

lab('clients that do not read hold up their member, not the memory', async () => {
  const count = 100;
  const sockets: Socket[] = [];
  const before = stage.workerMemory();
  try {
    for (let i = 0; i < count; i += 1) {
      const socket = connect({ host: service4, port: 80 });
      socket.on('error', () => socket.destroy());
      socket.pause();
      await once(socket, 'connect');
      socket.write(`GET /pattern/${64 * MEGABYTE} HTTP/1.1\r\nHost: a\r\n\r\n`);
      sockets.push(socket);
    }
    // Until nothing moves any more.
    let growth = 0;
    for (let still = 0; still < 5;) {
      await pause(100);
      const now = stage.workerMemory() - before;
      still = now === growth ? still + 1 : 0;
      growth = now;
    }
    console.log(`${count} clients that do not read: the worker grew by ${inMegabytes(growth)}`);
    assert.ok(growth < count * 512 * 1024, `seen ${inMegabytes(growth)}`);
    // And another client is served meanwhile; who reads again gets the rest.
    assert.is(await stage.curl(`${web}/`), 'member-1\n');
    const [slow] = sockets;
    let read = 0;
    await new Promise<void>((resolve, reject) => {
      slow?.on('data', (bytes) => {
        read += bytes.length;
        if (read > 64 * MEGABYTE) resolve();
      });
      slow?.once('close', () => {
        reject(new Error(`expected 64 MiB, but it ended after ${read} bytes`));
      });
      slow?.resume();
    });
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

lab('clients that send an octet at a time are served, many at once', async () => {
  const text =
    'POST /echo?slow HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\nConnection: close\r\n\r\n01234567890123456789';
  const answers = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const raw = await RawClient.connect(80, service4);
      try {
        for (const octet of text) {
          raw.write(octet);
          await new Promise((resolve) => setImmediate(resolve));
        }
        return await raw.end();
      } finally {
        raw.close();
      }
    }),
  );
  for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 200 [^]*"bytes":20,/);
});

lab('2,000 clients ask at the same moment, and again', async () => {
  const clients = await IdleClients.open(80, service4, 2000);
  try {
    assert.equal(await clients.ask(), { 200: 2000 });
    assert.equal(await clients.ask(), { 200: 2000 });
  } finally {
    clients.close();
  }
});

test.run();
