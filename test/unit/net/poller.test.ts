/** The poller and the netlink socket on this kernel; no rights needed. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as wire from '../../../appliance/net/wire.js';
import {
  close,
  drainEventfd,
  eventfd,
  signalEventfd,
  SystemError,
} from '../../../native/ffi/libc.js';
import { NetlinkSocket } from '../../../native/ffi/netlink.js';
import { Poller } from '../../../native/ffi/poller.js';

async function withPoller(work: (poller: Poller) => Promise<void>): Promise<void> {
  const poller = new Poller();
  poller.ref();
  try {
    await work(poller);
  } finally {
    poller.close();
  }
}

test('tells what is readable, again while it is unread, and not after remove', () =>
  withPoller(async (poller) => {
    const fd = eventfd();
    try {
      let calls = 0;
      await new Promise<void>((resolve) => {
        poller.add(fd, () => {
          calls += 1;
          if (calls === 3) {
            assert.is(drainEventfd(fd), 2n);
            resolve();
          }
        });
        signalEventfd(fd);
        signalEventfd(fd);
      });
      poller.remove(fd);
      signalEventfd(fd);
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.is(calls, 3);
    } finally {
      close(fd);
    }
  }));

test('promises continue from within a listener', () =>
  withPoller(async (poller) => {
    const fd = eventfd();
    try {
      const seen = await new Promise<bigint>((resolve) => {
        poller.add(fd, () => resolve(Promise.resolve().then(() => drainEventfd(fd))));
        signalEventfd(fd);
      });
      assert.is(seen, 1n);
    } finally {
      poller.remove(fd);
      close(fd);
    }
  }));

test('a descriptor that is none is an error of the call', () =>
  withPoller((poller) => {
    assert.throws(
      () => poller.add(1_000_000, () => undefined),
      (error: unknown) =>
        error instanceof SystemError && error.code === 'EBADF' && error.syscall === 'epoll_ctl',
    );
    return Promise.resolve();
  }));

/** Runs a script with a poller on a readable descriptor; returns exit status, output, milliseconds. */
function ending(lines: string): { readonly status: number | null; readonly stderr: string } {
  const url = (path: string): string =>
    pathToFileURL(join(import.meta.dirname, '../../../native/ffi', path)).href;
  const script = `
    import { Poller } from '${url('poller.js')}';
    import { eventfd, signalEventfd } from '${url('libc.js')}';
    const poller = new Poller();
    const fd = eventfd();
    poller.add(fd, () => {});
    ${lines}`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  return { status, stderr };
}

for (const [what, lines, expected] of [
  ['nothing held: it ends by itself', '', 0],
  ['nothing held, data unread', 'signalEventfd(fd);', 0],
  [
    'held, process.exit',
    'poller.ref(); setTimeout(() => { signalEventfd(fd); process.exit(3); }, 20);',
    3,
  ],
  [
    'held, uncaught error',
    'poller.ref(); setTimeout(() => { signalEventfd(fd); throw new Error("planned"); }, 20);',
    1,
  ],
  ['held and let go', 'poller.ref(); setTimeout(() => poller.unref(), 20);', 0],
] as const) {
  test(`a process with a poller ends as it should: ${what}`, () => {
    const { status, stderr } = ending(lines);
    assert.is(status, expected, stderr);
  });
}

test('a netlink dump, two at once, and the kernel’s words for a bad request', () =>
  withPoller(async (poller) => {
    const socket = NetlinkSocket.open({ poller });
    try {
      const dump = (): Promise<readonly { payload: Buffer }[]> =>
        socket.dump(wire.RTM_GETLINK, wire.encodeDump(wire.RTM_GETLINK));
      const [first, second] = await Promise.all([dump(), dump()]);
      for (const messages of [first, second]) {
        const names = messages.map(({ payload }) => wire.decodeLink(payload)?.name);
        assert.ok(names.includes('lo'), `lo expected, seen ${names.join(' ')}`);
      }
      const bad = Buffer.alloc(12);
      bad.writeUInt8(2, 0);
      bad.writeUInt8(77, 1);
      const answer = await socket
        .request({ type: wire.RTM_GETROUTE, payload: bad })
        .catch((error: unknown) => error);
      assert.instance(answer, SystemError);
      assert.is((answer as SystemError).code, 'EINVAL');
      assert.match((answer as SystemError).message, /Invalid/);
    } finally {
      socket.close();
    }
  }));

test('a batch answers each request in its place, failures among them', () =>
  withPoller(async (poller) => {
    const socket = NetlinkSocket.open({ poller });
    try {
      const query = (last: number): { type: number; payload: Buffer } => ({
        type: wire.RTM_GETROUTE,
        payload: wire.encodeRouteQuery({ family: 4, bytes: Buffer.from([127, 0, 0, last]) }),
      });
      const requests = Array.from({ length: 200 }, (_, index) =>
        index === 100 ? { type: wire.RTM_GETROUTE, payload: Buffer.alloc(4) } : query(index + 1),
      );
      const answers = await socket.batch(requests);
      assert.is(answers.length, 200);
      answers.forEach((answer, index) => {
        if (index === 100) {
          assert.instance(answer, SystemError);
          return;
        }
        if (answer instanceof SystemError) throw answer;
        const route = wire.decodeRoute(answer[0]?.payload ?? Buffer.alloc(0));
        assert.is(route?.destination?.[3], index + 1);
      });
    } finally {
      socket.close();
    }
  }));

test('what is pending when the socket closes fails, and later requests are refused', () =>
  withPoller(async (poller) => {
    const socket = NetlinkSocket.open({ poller });
    const pending = socket
      .dump(wire.RTM_GETLINK, wire.encodeDump(wire.RTM_GETLINK))
      .catch((error: unknown) => error);
    await Promise.resolve();
    socket.close();
    assert.is(((await pending) as SystemError).code, 'EBADF');
    const later = await socket
      .request({ type: wire.RTM_GETLINK, payload: Buffer.alloc(16) })
      .catch((error: unknown) => error);
    assert.is((later as SystemError).code, 'EBADF');
  }));

test.run();
