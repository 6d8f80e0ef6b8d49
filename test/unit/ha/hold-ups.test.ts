/** What tells a process that hangs from one that does not get its CPU, and requests made apart. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as wire from '../../../appliance/net/wire.js';
import { allowedCpus, pinThread, visitCpu } from '../../../native/ffi/affinity.js';
import { SystemError } from '../../../native/ffi/libc.js';
import { NetlinkSocket } from '../../../native/ffi/netlink.js';
import { doingOf } from '../../../native/ffi/pidfd.js';
import { Poller } from '../../../native/ffi/poller.js';

const test = suite('hold-ups');

test('a visit of a CPU changes nothing; where the thread may not run, there is none', () => {
  const before = allowedCpus();
  for (const cpu of before) {
    assert.ok(visitCpu(cpu), `CPU ${cpu}`);
    assert.equal(allowedCpus(), before);
  }
  const [own = 0, other = own + 1] = before;
  const back = pinThread(own);
  try {
    assert.not(visitCpu(other));
    assert.equal(allowedCpus(), [own]);
  } finally {
    back();
  }
});

test('what a process is doing: it runs, was stopped, has gone', async () => {
  assert.is(doingOf(process.pid)?.state, 'R');
  assert.ok(allowedCpus().includes(doingOf(process.pid)?.cpu ?? -1));
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  const gone = once(child, 'exit');
  const pid = child.pid ?? 0;
  try {
    await once(child, 'spawn');
    child.kill('SIGSTOP');
    while (doingOf(pid)?.state !== 'T') await new Promise((resolve) => setImmediate(resolve));
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
  assert.is(doingOf(pid), null);
});

/** struct ifinfomsg of an interface. */
function interfaceOf(index: number): Buffer {
  const payload = Buffer.alloc(16);
  payload.writeInt32LE(index, 4);
  return payload;
}

test('netlink apart: answers, refusals, and a socket that is closed meanwhile', async () => {
  const poller = new Poller();
  try {
    const socket = NetlinkSocket.open({ poller, apart: true });
    const links = await socket.dump(wire.RTM_GETLINK, wire.encodeDump(wire.RTM_GETLINK));
    const found = links.flatMap(({ payload }) => wire.decodeLink(payload) ?? []);
    assert.ok(found.some(({ name }) => name === 'lo'));
    const answers = await socket.batch(
      [1, 2 ** 30].map((index) => ({ type: wire.RTM_GETLINK, payload: interfaceOf(index) })),
    );
    assert.is(answers[0] instanceof SystemError, false);
    assert.is((answers[1] as SystemError).code, 'ENODEV');
    const under = socket.batch([{ type: wire.RTM_GETLINK, payload: interfaceOf(1) }]);
    socket.close();
    assert.is(((await under)[0] as SystemError).code, 'EBADF');
    const after = await socket
      .dump(wire.RTM_GETLINK, wire.encodeDump(wire.RTM_GETLINK))
      .catch((error: unknown) => error);
    assert.is((after as SystemError).code, 'EBADF');
  } finally {
    poller.close();
  }
});

test.run();
