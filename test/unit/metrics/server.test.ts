/** Who gets metrics, how, and what becomes of those who should not, or are slow. */
import { once } from 'node:events';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { request, type IncomingHttpHeaders } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MetricsServer, type MetricsSettings } from '../../../appliance/metrics/server.js';
import { readOpenMetrics, readText } from '../../support/openmetrics.js';
import { FakeDaemon } from '../api/fake-daemon.js';
import { MemoryLog, withFolder } from '../api/fixture.js';
import { fakeSource } from './source.js';

const test = suite('metrics: server');

const TOKEN = '0123456789abcdef0123456789abcdef';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function ask(
  address: string,
  options: { path?: string; method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { path = '/metrics', ...rest } = options;
  return new Promise((resolve, reject) => {
    const sent = request(`http://${address}${path}`, { ...rest, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, body: Buffer.concat(pieces) });
      });
    });
    sent.on('error', reject).end();
  });
}

async function freeAddress(host = '127.0.0.1'): Promise<string> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

async function until(is: () => boolean): Promise<void> {
  for (const end = Date.now() + 4000; !is();) {
    if (Date.now() > end) throw new Error('it did not come to be');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

interface Scene {
  readonly server: MetricsServer;
  readonly log: MemoryLog;
  readonly daemon: FakeDaemon;
  readonly folder: string;
  /** Follows, and resolves when it listens. */
  readonly serve: (settings: Omit<MetricsSettings, 'listen'>) => Promise<string>;
}

function scene(act: (scene: Scene) => Promise<void>, answerMs?: number): Promise<void> {
  return withFolder(async (folder) => {
    const log = new MemoryLog();
    const daemon = new FakeDaemon();
    const source = fakeSource(daemon);
    const server = new MetricsServer({
      ...{ source: () => source, log, retryMs: 20 },
      ...(answerMs === undefined ? {} : { answerMs }),
    });
    const serve: Scene['serve'] = async (settings) => {
      const address = await freeAddress();
      server.follow({ listen: [address], ...settings });
      await until(() => (server.view()?.listening.length ?? 0) === 1);
      return address;
    };
    try {
      await act({ server, log, daemon, folder, serve });
    } finally {
      server.close();
    }
  });
}

test('both formats, packed or not, by GET and HEAD', () =>
  scene(async ({ server, serve }) => {
    const address = await serve({});
    assert.equal(server.view(), {
      ...{ listening: [`http://${address}/metrics`], token: false, problems: [] },
    });
    const text = await ask(address);
    assert.is(text.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    readText(text.body.toString());
    const open = { accept: 'application/openmetrics-text; version=1.0.0' };
    const metrics = await ask(address, { headers: open });
    assert.is(
      metrics.headers['content-type'],
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
    );
    readOpenMetrics(metrics.body.toString());
    const packed = await ask(address, { headers: { ...open, 'accept-encoding': 'gzip' } });
    assert.is(packed.headers['content-encoding'], 'gzip');
    readOpenMetrics(gunzipSync(packed.body).toString());
    const head = await ask(address, { method: 'HEAD', headers: open });
    assert.equal([head.status, head.body.length], [200, 0]);
    assert.is(head.headers['content-type'], metrics.headers['content-type']);
  }));

test('nothing else is there', () =>
  scene(async ({ serve }) => {
    const address = await serve({});
    assert.is((await ask(address, { path: '/' })).status, 404);
    assert.is((await ask(address, { path: '/v1/status' })).status, 404);
    assert.is((await ask(address, { path: '/metrics/' })).status, 404);
    assert.is((await ask(address, { path: '/metrics?x=1' })).status, 200);
    const post = await ask(address, { method: 'POST' });
    assert.equal([post.status, post.headers.allow], [405, 'GET, HEAD']);
  }));

test('with a token: none, a wrong one, the right one; and a new one counts at once', () =>
  scene(async ({ folder, serve, log }) => {
    const file = join(folder, 'token');
    await writeFile(file, `${TOKEN}\n`, { mode: 0o600 });
    const address = await serve({ 'token-file': file });
    const status = async (authorization?: string): Promise<number> => {
      const headers = authorization === undefined ? {} : { authorization };
      return (await ask(address, { headers })).status;
    };
    const none = await ask(address);
    assert.equal(
      [none.status, none.headers['www-authenticate']],
      [401, 'Bearer realm="weir metrics"'],
    );
    assert.is(
      (await ask(address, { path: '/' })).status,
      401,
      'what is there is nobody’s business',
    );
    for (const wrong of [
      ...['Bearer', 'Bearer ', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, `Basic ${TOKEN}`],
      ...[TOKEN, `Bearer ${TOKEN} ${TOKEN}`],
    ]) {
      assert.is(await status(wrong), 401, wrong);
    }
    assert.is(await status(`Bearer ${TOKEN}`), 200);
    assert.is(await status(`bearer ${TOKEN}`), 200);
    await writeFile(file, TOKEN.toUpperCase());
    assert.is(await status(`Bearer ${TOKEN}`), 401);
    assert.is(await status(`Bearer ${TOKEN.toUpperCase()}`), 200);
    assert.not.match(JSON.stringify(log.lines), new RegExp(TOKEN, 'i'));
  }));

test('a token that cannot be had keeps everybody out, and is an alarm until it can', () =>
  scene(async ({ server, folder, serve }) => {
    const file = join(folder, 'token');
    const address = await serve({ 'token-file': file });
    const right = { headers: { authorization: `Bearer ${TOKEN}` } };
    const problem = (): string =>
      server
        .alarms()
        .map(({ message }) => message)
        .join();
    assert.is((await ask(address, right)).status, 503);
    assert.match(problem(), /token cannot be read|cannot be read: ENOENT/);
    await writeFile(file, 'short', { mode: 0o600 });
    assert.is((await ask(address, right)).status, 503);
    assert.match(problem(), /holds no token/);
    await writeFile(file, TOKEN);
    await chmod(file, 0o644);
    assert.is((await ask(address, right)).status, 503);
    assert.match(problem(), /Everybody can read/);
    await chmod(file, 0o640);
    assert.is((await ask(address, right)).status, 200);
    assert.equal(server.alarms(), []);
    await rm(file);
    assert.is((await ask(address, right)).status, 503);
  }));

test('a client from elsewhere than is allowed is not read', () =>
  scene(async ({ serve }) => {
    const closed = await serve({ allow: ['192.0.2.0/24', '2001:db8::/32'] });
    await ask(closed).then(
      () => assert.unreachable(),
      (error: NodeJS.ErrnoException) =>
        assert.ok(['ECONNRESET', 'EPIPE'].includes(error.code ?? '')),
    );
    const open = await serve({ allow: ['192.0.2.0/24', '127.0.0.0/8'] });
    assert.is((await ask(open)).status, 200);
    await ask(closed).then(
      () => assert.unreachable(),
      (error: NodeJS.ErrnoException) => assert.is(error.code, 'ECONNREFUSED'),
    );
  }));

test('an address that cannot be had is an alarm, and is tried until it can', () =>
  scene(async ({ server }) => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const taken = `127.0.0.1:${(holder.address() as AddressInfo).port}`;
    const free = await freeAddress();
    // 192.0.2.0/24 is for documentation: no machine has it.
    server.follow({ listen: [taken, '192.0.2.77:9477', free], 'token-file': '/nowhere' });
    await until(() => server.alarms().length === 3);
    const said = (server.view()?.problems ?? []).join('\n');
    assert.match(said, /192\.0\.2\.77:9477: listen EADDRNOTAVAIL/);
    assert.match(said, /EADDRINUSE/);
    assert.equal(server.view()?.listening, [`http://${free}/metrics`]);
    holder.close();
    await until(() => server.view()?.listening.length === 2);
    server.follow(null);
    assert.equal([server.view(), server.alarms()], [null, []]);
    await ask(free).then(
      () => assert.unreachable(),
      (error: NodeJS.ErrnoException) => assert.is(error.code, 'ECONNREFUSED'),
    );
  }));

test('who does not read is let go of, and others are served meanwhile', () =>
  scene(async ({ daemon, serve, log }) => {
    const [member] = daemon.rows.members;
    if (member === undefined) throw new Error('expected a member');
    const many = Array.from({ length: 20_000 }, (_, index) => ({ ...member, member: `m${index}` }));
    daemon.rows = { ...daemon.rows, members: many };
    const address = await serve({});
    const [host = '', port = ''] = address.split(':');
    const slow = connect(Number(port), host);
    slow.on('error', () => undefined);
    slow.pause();
    slow.write('GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(slow, 'connect');
    assert.is((await ask(address, { method: 'HEAD' })).status, 200);
    await until(() => log.messages('debug').includes('A scrape broke off.'));
    assert.is(slow.bytesRead, 0, 'it has read nothing');
    assert.equal(log.messages('error'), []);
    slow.destroy();
  }, 400));

test('of scrapes at one time there are few, and a failure is no detail', () =>
  scene(async ({ daemon, serve, log }) => {
    const address = await serve({});
    const waiting: (() => void)[] = [];
    const status = daemon.status.bind(daemon);
    const held = new Promise<void>((resolve) => waiting.push(resolve));
    daemon.status = async () => {
      await held;
      return status();
    };
    const first = [ask(address), ask(address), ask(address)];
    const turnedAway = await Promise.race(first);
    assert.equal([turnedAway.status, turnedAway.headers['retry-after']], [503, '1']);
    for (const go of waiting) go();
    const statuses = (await Promise.all(first)).map((one) => one.status);
    assert.equal(statuses.sort(), [200, 200, 503]);
    daemon.status = () => Promise.reject(new Error('a secret of the daemon'));
    const failed = await ask(address);
    assert.is(failed.status, 500);
    assert.not.match(failed.body.toString(), /secret/);
    assert.equal(log.messages('error'), ['A scrape failed.']);
  }));

test.run();
