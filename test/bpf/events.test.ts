/**
 * Events and counters beyond what the packet cases look at: the budget, the loss, the routes out,
 * a flow table that is full. Run with BPF_PROG_TEST_RUN.
 */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { enterNetworkNamespace } from '../../native/ffi/namespace.js';
import { lacking, needs } from '../support/needs.js';
import { Datapath } from './datapath.js';
import { frame } from './packets.js';
import { combinations, expectSent, Scene } from './scene.js';

const test = suite('bpf events');
let path: Datapath;
test.before(() => {
  path = Datapath.open(1024);
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const combination = combinations.find((one) => one.name === 'nat tcp ipv4');
if (combination === undefined) throw new Error('no combinations');

needs.bpf(test)('a CPU sends no more events a second than settings allow', () => {
  const scene = new Scene(path, combination);
  path.settings({ eventsPerSecond: 5 });
  for (let port = 0; port < 40; port++) path.run(frame(scene.request({ sourcePort: 2000 + port })));
  const sent = path.events().length;
  const lost = path.totals().eventsLost;
  assert.is(sent + lost, 40, 'every event is either sent or counted as lost');
  // The loop may straddle seconds and CPUs.
  assert.ok(sent >= 5 && sent <= 20, `sent ${sent}, expected about 5`);
});

needs.bpf(test)('no events at all with a budget of 0', () => {
  const scene = new Scene(path, combination);
  path.settings({ eventsPerSecond: 0 });
  scene.expectAt(scene.home);
  assert.equal(path.events(), []);
  assert.is(path.totals().eventsLost, 1);
});

needs.bpf(test)('a full ring loses events and counts them', () => {
  const scene = new Scene(path, combination);
  path.settings({ eventsPerSecond: 1_000_000 });
  const total = 5000;
  for (let index = 0; index < total; index++) {
    path.run(frame(scene.request({ sourcePort: 1024 + index })));
  }
  const sent = path.events().length;
  // 256 KiB at 64 bytes and an 8-byte header each.
  assert.is(sent, Math.floor((256 * 1024) / 72), 'events that fitted');
  assert.is(path.totals().eventsLost, total - sent);
  // Drained, the ring takes events again.
  path.run(frame(scene.request({ sourcePort: 999 })));
  assert.is(path.events().length, 1);
});

needs.bpf(test)('the time of an event is the monotonic clock', () => {
  const scene = new Scene(path, combination);
  const before = process.hrtime.bigint();
  scene.expectAt(scene.home);
  const after = process.hrtime.bigint();
  const [event] = path.events();
  assert.ok(event !== undefined && event.timeNs >= before && event.timeNs <= after);
});

needs.bpf(test)('a full flow table drops flows that need an entry, and says so', () => {
  const scene = new Scene(path, combination);
  let sent = 0;
  for (let index = 0; index < 2048; index++) {
    const { verdict } = path.run(frame(scene.request({ sourcePort: 1024 + index })));
    if (verdict === 'tx') sent++;
  }
  assert.equal(path.drops(), { FLOW_TABLE: 2048 - sent }, 'drops');
  const left = path.map('flows').readAll().count;
  assert.ok(left > 900 && left <= 1024, `${left} entries, expected about 1024`);
  assert.is(left, 2 * sent, 'a refused flow leaves no half of itself behind');
  // What was there before the flood goes on.
  scene.expectAt(scene.home, scene.request({ sourcePort: 1024 }));
});

needs.bpf(test)('a full flow table stops no flow that its hash sends', () => {
  const dsr = combinations.find((one) => one.name === 'dsr tcp ipv4');
  if (dsr === undefined) throw new Error('no combination');
  const scene = new Scene(path, dsr);
  scene.send(2);
  for (let index = 0; index < 4096; index++) {
    const sourcePort = 1024 + index;
    const member = path.run(frame(scene.request({ sourcePort, flags: 'S' })));
    assert.is(member.verdict, 'tx');
    const again = path.run(frame(scene.request({ sourcePort })));
    assert.is(again.verdict, 'tx');
    // Remembered or not, all of its packets go to one member.
    assert.equal(again.data.subarray(0, 6), member.data.subarray(0, 6), `port ${sourcePort}`);
  }
  assert.equal(path.drops(), {}, 'drops');
});

needs.bpf(test)('out of another interface: redirect, and back: transmit', () => {
  const leave = enterNetworkNamespace();
  try {
    execFileSync('ip', ['link', 'add', 'weir0', 'type', 'veth', 'peer', 'name', 'weir1']);
    const list = execFileSync('ip', ['-o', 'link', 'show', 'weir0'], { encoding: 'utf8' });
    const index = Number.parseInt(list, 10);
    for (const one of combinations) {
      const scene = new Scene(path, one);
      path.port(index);
      scene.set(scene.home, { interface: index });
      const request = scene.request();
      const sent = frame(request);
      const expected = (): Buffer => scene.delivered(request, scene.home);
      expectSent(path, sent, expected, undefined, 'redirect');
      expectSent(path, sent, expected, index, 'tx');
      if (!scene.tracked) continue;
      assert.is(path.flow(scene.replyTuple(scene.home))?.interface, 1, 'client came in by lo');
      // The client is now seen behind the other interface: its answers follow.
      path.age(scene.tuple, 2);
      expectSent(path, sent, expected, index, 'tx');
      assert.is(path.flow(scene.replyTuple(scene.home))?.interface, index);
      assert.is(path.run(frame(scene.answer(scene.home))).verdict, 'redirect');
      assert.is(path.run(frame(scene.answer(scene.home)), index).verdict, 'tx');
    }
  } finally {
    leave();
  }
});

test.run();
