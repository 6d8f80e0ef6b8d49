/** How the layer-7 benchmark judges answers, and how it counts CPU time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type AnswerHead, readAnswer } from '../../bench/l7-answer.js';
import { cpuBetween, kernelShare, readCpu, withDescendants } from '../../bench/l7-cpu.js';

const test = suite('load of the layer-7 benchmark');

function read(text: string, cookie: string | null = null): AnswerHead | null {
  const head: AnswerHead = { end: 0, length: -1, cookie: null };
  const bytes = Buffer.from(`..${text}`);
  return readAnswer(head, bytes, 2, bytes.length, cookie) ? head : null;
}

const good =
  'HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 100\r\nSet-Cookie: SRV=m2; path=/\r\n\r\n';

test('the length of an answer is found, its end, and a cookie if one is looked for', () => {
  assert.equal(read(good), { end: good.length + 2, length: 100, cookie: null });
  assert.is(read(good, 'SRV')?.cookie, 'SRV=m2');
  assert.is(read(good.replace('SRV', 'SRV-web'), 'SRV')?.cookie, 'SRV-web=m2');
  assert.is(read(good, 'OTHER')?.cookie, null);
  assert.is(read(good.replace('content-length', 'Content-Length'))?.length, 100);
});

test('a head that is not whole is waited for, wherever it is cut', () => {
  for (let length = 0; length < good.length; length += 1) {
    assert.is(read(good.slice(0, length), 'SRV'), null, `cut at ${length}`);
  }
  assert.is(read(`${good}xxx`)?.end, good.length + 2);
});

test('any other status is an error that says what came, and so is an answer without length', () => {
  const gone = 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n';
  assert.throws(() => read(gone), /begins with "HTTP\/1\.1 503 Service Unavailable"/);
  assert.throws(() => read('HTTP/1.1 200 OK\r\nA: b\r\n\r\n'), /no Content-Length/);
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  assert.throws(() => read(chunked), /Transfer-Encoding/);
});

test('CPU time of a process is what the system says that it used', () => {
  const before = readCpu([process.pid]);
  const used = process.cpuUsage();
  while (process.cpuUsage(used).user + process.cpuUsage(used).system < 50_000);
  const nanoseconds = cpuBetween(before, readCpu([process.pid]));
  assert.ok(nanoseconds >= 49_000_000, `${nanoseconds} ns where 50 ms were used`);
});

test('what the kernel used of it is a share of the same time', () => {
  const ticks = (user: number, system: number) =>
    new Map([[1, { threads: new Map([['1', 0]]), user, system }]]);
  assert.is(kernelShare(ticks(100, 50), ticks(130, 60)), 0.25);
  assert.is(kernelShare(ticks(100, 50), ticks(100, 50)), 0, 'less than a tick');
  assert.throws(() => kernelShare(new Map(), ticks(1, 1)), /has no process/);
});

test('children of a process count as its descendants, other processes do not', async () => {
  const child = spawn('sleep', ['100'], { stdio: 'ignore' });
  try {
    await once(child, 'spawn');
    const seen = withDescendants(process.pid);
    assert.is(seen[0], process.pid);
    assert.ok(seen.includes(child.pid ?? -1), `${seen.join(', ')} lacks ${child.pid ?? 'none'}`);
    assert.not(seen.includes(process.ppid));
  } finally {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});

test('one process cannot be compared with another', () => {
  assert.throws(() => cpuBetween(readCpu([]), readCpu([process.pid])), /has no process/);
});

test.run();
