/** The socket file: its rights, its predecessors, its end; and who is on the other side. */
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createApi } from '../../../appliance/api/server.js';
import { SocketFileError } from '../../../appliance/api/socket-file.js';
import {
  groupId,
  peerCredentials,
  PeerCredentialsError,
  userName,
} from '../../../native/ffi/peer-credentials.js';
import { FakeDaemon } from './fake-daemon.js';
import { call, eventually, MemoryLog, open, withApi, withFolder } from './fixture.js';

const test = suite('api: socket');

/** A group that surely exists: the first of the machine's own. */
const someGroup = readFileSync('/etc/group', 'utf8').split(':')[0] ?? 'root';

function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

async function codeOf(act: () => Promise<unknown>): Promise<string> {
  try {
    await act();
  } catch (error) {
    if (error instanceof SocketFileError) return error.code;
    throw error;
  }
  return 'no error';
}

test('given to the group when there is one', () =>
  withFolder(async (folder) => {
    const api = createApi(new FakeDaemon(), { log: new MemoryLog() });
    const before = process.umask();
    try {
      const path = join(folder, 'weir.sock');
      await api.listen(path, { group: someGroup });
      assert.is(modeOf(path), '660');
      assert.is(statSync(path).gid, groupId(someGroup));
      assert.is(process.umask(), before, 'the umask was not put back');
      assert.is((await call(path, { path: '/v1/status' })).status, 200);
    } finally {
      await api.close();
    }
  }));

test('without the group it stays its owner’s alone, whatever the umask, and the log says so', () =>
  withFolder(async (folder) => {
    const log = new MemoryLog();
    const api = createApi(new FakeDaemon(), { log });
    const before = process.umask(0);
    try {
      const path = join(folder, 'weir.sock');
      await api.listen(path, { group: 'no-such-group' });
      assert.is(modeOf(path), '600');
      assert.match(log.messages('warn').join(), /no group no-such-group/);
    } finally {
      process.umask(before);
      await api.close();
    }
  }));

test('closing removes the file and lets a request in progress finish', () =>
  withApi(async ({ api, daemon, socket }) => {
    let release = (): void => {};
    daemon.gate = new Promise((resolve) => (release = resolve));
    const answer = call(socket, { path: '/v1/services' });
    await eventually('the request', () => daemon.asked.length === 1);
    const closed = api.close();
    release();
    assert.is((await answer).status, 200);
    await closed;
    assert.not(existsSync(socket), 'the socket is still there');
  }));

test('a stale socket is replaced', () =>
  withFolder(async (folder) => {
    const path = join(folder, 'weir.sock');
    await leaveStale(path);
    assert.ok(statSync(path).isSocket());
    const api = createApi(new FakeDaemon(), { log: new MemoryLog() });
    try {
      await api.listen(path);
      assert.is((await call(path, { path: '/v1/status' })).status, 200);
    } finally {
      await api.close();
    }
  }));

test('a socket that answers is left alone', () =>
  withApi(async ({ socket }) => {
    const second = createApi(new FakeDaemon(), { log: new MemoryLog() });
    assert.is(await codeOf(() => second.listen(socket)), 'in-use');
    await second.close();
    assert.is(
      (await call(socket, { path: '/v1/status' })).status,
      200,
      'the first no longer answers',
    );
  }));

test('a file that is no socket is left alone', () =>
  withFolder(async (folder) => {
    const path = join(folder, 'weir.sock');
    writeFileSync(path, 'precious');
    const api = createApi(new FakeDaemon(), { log: new MemoryLog() });
    assert.is(await codeOf(() => api.listen(path)), 'not-a-socket');
    await api.close();
    assert.is(readFileSync(path, 'utf8'), 'precious');
  }));

test('a path too long, and a folder that is not there', () =>
  withFolder(async (folder) => {
    for (const [path, code] of [
      [join(folder, 'x'.repeat(120)), 'path-too-long'],
      [join(folder, 'none', 'weir.sock'), 'listen'],
    ] as const) {
      const api = createApi(new FakeDaemon(), { log: new MemoryLog() });
      assert.is(await codeOf(() => api.listen(path)), code);
      await api.close();
    }
  }));

test('the kernel says who is at the other end', () =>
  withFolder(async (folder) => {
    const path = join(folder, 'peer.sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const client = connect(path);
    const peer = await accepted;
    try {
      const fd = (peer as Socket & { _handle?: { fd?: number } })._handle?.fd ?? -1;
      assert.equal(peerCredentials(fd), {
        pid: process.pid,
        uid: userInfo().uid,
        gid: userInfo().gid,
      });
    } finally {
      client.destroy();
      peer.destroy();
      await stop(server);
    }
    assert.throws(
      () => peerCredentials(9999),
      (error: unknown) => error instanceof PeerCredentialsError && error.errno === 9,
    );
  }));

test('names of users and groups, as their files have them', () => {
  const passwd =
    'root:x:0:0:root:/root:/bin/bash\n# comment\nadmin:x:1000:1000::/home/admin:/bin/sh\n';
  assert.is(userName(0, passwd), 'root');
  assert.is(userName(1000, passwd), 'admin');
  assert.is(userName(100, passwd), 'uid 100');
  const group = 'root:x:0:\nweir:x:998:admin\nbroken:x:\n';
  assert.is(groupId('weir', group), 998);
  assert.is(groupId('root', group), 0);
  assert.is(groupId('wei', group), null);
  assert.is(groupId('broken', group), null);
});

test('a stream that is open does not hold up the end', () =>
  withApi(async ({ api, socket }) => {
    const response = await open(socket, { path: '/v1/stream' });
    response.resume();
    await api.close();
    assert.not(existsSync(socket));
  }));

/** A bound socket that nobody listens on any more, as a killed daemon leaves it. */
async function leaveStale(path: string): Promise<void> {
  const server = createServer();
  const bound = `${path}.other`;
  await new Promise<void>((resolve) => server.listen(bound, resolve));
  // Node removes the path that it bound; under another name the file stays.
  renameSync(bound, path);
  await stop(server);
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

test.run();
