/** Access logs to syslog, against sockets that listen as a collector does. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { AccessLogs } from '../../../../appliance/l7/telemetry/access-logs.js';
import {
  LogRing,
  logRingBytes,
  LogRingReader,
} from '../../../../appliance/l7/telemetry/log-ring.js';
import { LogSyslog, syslogPeer } from '../../../../appliance/l7/telemetry/log-syslog.js';
import type { L7AccessLog } from '../../../../appliance/l7/tables.js';
import { UnixCollector } from '../../../support/unix-collector.js';

interface Context {
  folder: string;
  told: string[];
  tell: (kind: 'trouble' | 'well', sentence: string) => void;
  clean: (() => Promise<void> | void)[];
}

const test = suite<Context>('l7 telemetry: syslog and targets');

test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'weir-syslog-'));
  context.told = [];
  context.tell = (kind, sentence) => void context.told.push(`${kind}: ${sentence}`);
  context.clean = [];
});

test.after.each(async (context) => {
  for (const one of context.clean.reverse()) await one();
  rmSync(context.folder, { recursive: true, force: true });
});

const line = Buffer.from('{"status":200}\n');
const put = (log: LogSyslog): boolean => log.write(line, 0, line.length);

async function collector(context: Context, port = 0): Promise<Socket> {
  const udp = createSocket('udp4');
  udp.bind(port, '127.0.0.1');
  await once(udp, 'listening');
  let open = true;
  udp.once('close', () => (open = false));
  context.clean.push(() => {
    if (open) udp.close();
  });
  return udp;
}

test('a line is one RFC 5424 message over UDP', async (context) => {
  const udp = await collector(context);
  const log = new LogSyslog({
    to: `127.0.0.1:${udp.address().port}`,
    host: 'unit a\n',
    tell: context.tell,
    now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 67),
  });
  context.clean.push(() => log.close());
  const heard = once(udp, 'message') as Promise<[Buffer]>;
  assert.is(put(log), true);
  const [message] = await heard;
  assert.is(
    message.toString(),
    `<134>1 2026-01-02T03:04:05.067Z unit_a_ weir ${process.pid} access - {"status":200}`,
  );
  assert.equal(log.figures, { lines: 1, dropped: 0 });
});

test('a collector that is not there is told once, and lines go on when it comes', async (context) => {
  const first = await collector(context);
  const { port } = first.address();
  first.close();
  await once(first, 'close');
  let now = 1000;
  const log = new LogSyslog({
    to: `127.0.0.1:${port}`,
    retry: 2,
    tell: context.tell,
    now: () => now,
  });
  context.clean.push(() => log.close());
  // The refusal of one message comes with a later one.
  while (context.told.length === 0) {
    put(log);
    await sleep(1);
  }
  assert.match(context.told[0] ?? '', /trouble: .*nobody listens there\. Start the collector/);
  const udp = await collector(context, port);
  now += 10_000;
  const heard = once(udp, 'message');
  put(log);
  await heard;
  while (context.told.length < 2) {
    put(log);
    await sleep(1);
  }
  assert.match(context.told[1] ?? '', /well: .*takes the access log again/);
});

test('over a Unix socket lines survive that the collector starts again', async (context) => {
  const path = join(context.folder, 'log');
  const log = new LogSyslog({ to: path, retry: 2, tell: context.tell });
  context.clean.push(() => log.close());
  assert.is(put(log), true, 'a line waits for the collector');
  assert.match(context.told[0] ?? '', /nobody listens there/);
  const one = new UnixCollector(path);
  try {
    assert.match(await one.next(), /<134>1 .* access - \{"status":200\}$/);
  } finally {
    one.close();
    rmSync(path);
  }
  put(log);
  const two = new UnixCollector(path);
  try {
    assert.match(await two.next(), /\{"status":200\}$/);
    assert.equal(log.figures, { lines: 2, dropped: 0 });
  } finally {
    two.close();
  }
});

test('a collector that does not read holds nobody up: lines wait, then are dropped', async (context) => {
  const path = join(context.folder, 'log');
  const slow = new UnixCollector(path);
  try {
    const log = new LogSyslog({ to: path, memory: 10_000, pause: 2, tell: context.tell });
    context.clean.push(() => log.close());
    const tried = 5000;
    let taken = 0;
    for (let i = 0; i < tried; i += 1) if (put(log)) taken += 1;
    assert.ok(taken < tried, 'nothing was dropped');
    assert.ok(taken > 80, `only ${taken} lines were kept`);
    assert.equal(log.figures, { lines: taken, dropped: tried - taken });
    for (let i = 0; i < taken; i += 1) assert.match(await slow.next(), /\{"status":200\}$/);
    assert.is(slow.read(), null);
  } finally {
    slow.close();
  }
});

test('what is no place for syslog is refused', () => {
  assert.equal(syslogPeer('/dev/log'), { path: '/dev/log' });
  const six = syslogPeer('[2001:db8::1]:514');
  assert.is('family' in six && six.family, 6);
  for (const bad of ['127.0.0.1', 'host:514', '', '[::1]'])
    assert.throws(() => syslogPeer(bad), RangeError);
});

const logTo = (to: string): L7AccessLog => ({
  format: 'json',
  to,
  sample: 1,
  rotateSize: 1000,
  rotateKeep: 1,
});

test('targets keep their numbers, and each line comes to its own', async (context) => {
  const room = 4096;
  const memory = new ArrayBuffer(logRingBytes(room));
  const ring = new LogRing(memory, 0, room);
  const reader = new LogRingReader(memory, 0, room);
  const udp = await collector(context);
  const to = {
    a: join(context.folder, 'a'),
    b: join(context.folder, 'b'),
    syslog: `syslog:127.0.0.1:${udp.address().port}`,
  };
  let now = 0;
  const logs = new AccessLogs({ tell: context.tell, now: () => now });
  context.clean.push(() => logs.close());
  const first = logs.configure([logTo(to.a), logTo(to.b), logTo(to.syslog), logTo(to.a)]);
  const numbers = Object.fromEntries(first);
  const heard = once(udp, 'message') as Promise<[Buffer]>;
  for (const [name, number] of first) {
    const bytes = Buffer.from(`${name}\n`);
    assert.is(ring.write(number, bytes, 0, bytes.length), true);
  }
  assert.is(ring.write(200, Buffer.from('nobody\n'), 0, 7), true);
  assert.is(logs.drain([reader]), true);
  assert.match((await heard)[0].toString(), new RegExp(`access - ${to.syslog}$`));

  const second = logs.configure([logTo(to.b), logTo('syslog:nowhere')]);
  assert.is(second.get(to.b), numbers[to.b]);
  assert.match(context.told[0] ?? '', /trouble: The access log syslog:nowhere is not written/);
  // A request that began before the change ends now.
  ring.write(numbers[to.a] ?? 0, Buffer.from('late\n'), 0, 5);
  const large = Buffer.alloc(3000, 0x6c);
  for (let i = 0; i < 5; i += 1) ring.write(numbers[to.b] ?? 0, large, 0, large.length);
  logs.drain([reader]);
  assert.match(context.told[1] ?? '', new RegExp(`4 lines of the access log ${to.b} were dropped`));
  ring.write(numbers[to.b] ?? 0, large, 0, 5000);
  logs.drain([reader]);
  assert.is(context.told.length, 2, 'told again within a minute');
  now += 61_000;
  logs.drain([reader]);
  assert.match(context.told[2] ?? '', /1 lines/);
  assert.equal(
    logs.figures().find((one) => one.to === to.b),
    { to: to.b, lines: 2, dropped: 5 },
  );
  await logs.close();
  assert.is(readFileSync(to.a, 'utf8'), `${to.a}\nlate\n`);
  assert.ok(existsSync(to.b));
});

test.run();
