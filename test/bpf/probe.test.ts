/**
 * Probes of members (native/bpf/probe.h): a packet whose tuple has a probe's entry goes to that
 * member, its answer is noted and goes no further, and nobody else notices. Run with
 * BPF_PROG_TEST_RUN.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ANSWERED,
  FLOW_DIRECTION,
  FLOW_FLAG,
  FORWARDING,
  PROTOCOL,
  flow,
  flowKey,
  settings,
} from '../../appliance/l4/layouts.js';
import { lacking, needs } from '../support/needs.js';
import { Datapath, type Tuple } from './datapath.js';
import { frame, type FrameSpec } from './packets.js';
import { combinations, Scene } from './scene.js';

const test = suite('bpf probes');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const noMac = new Uint8Array(6);
const synAck = 0x12;
const natPort = 4002;

function keyOf(tuple: Tuple): Uint8Array {
  return flowKey.encode({
    source: tuple.source,
    destination: tuple.destination,
    source_port: tuple.sourcePort,
    destination_port: tuple.destinationPort,
    protocol: PROTOCOL[tuple.protocol],
  });
}

function setProbing(on: boolean): void {
  const map = path.map('settings');
  const row = new Uint8Array(4);
  const held = map.lookup(row);
  if (held === null) throw new Error('expected settings, seen none');
  map.update(row, settings.encode({ ...settings.decode(held), probing: Number(on) }));
}

/** The two entries of a probe of the spare member, which stands in no slot. Returns its answer. */
function place(scene: Scene, request: FrameSpec): FrameSpec {
  const { forwarding } = scene.combination;
  const entry = (fields: Partial<Parameters<typeof flow.encode>[0]>): Uint8Array =>
    flow.encode({
      ...{ member: scene.spare.row, generation: 1, service: scene.service.id, port: 0 },
      ...{ direction: 0, closing: 0, address: '::', client_mac: noMac, unit_mac: noMac },
      ...{ interface: 0, seen_ns: process.hrtime.bigint(), client: '::', client_port: 0 },
      ...{ flags: 0, forwarding: 0, hash: 0, vlan: [], nat: 0, mirror: 0 },
      ...{ window: 0, delta: 0, isn: 0 },
      ...fields,
    });
  const full = forwarding === 'full-nat';
  path.map('flows').update(
    keyOf(request),
    entry({
      ...{ direction: FLOW_DIRECTION.forward, flags: FLOW_FLAG.probe },
      forwarding: FORWARDING[forwarding],
      ...(full ? { address: scene.addresses.nat, port: natPort } : {}),
    }),
  );
  const direct = forwarding === 'dsr' || forwarding === 'tunnel';
  const { mac, sourceMac, address, port } = scene.spare;
  const answer: FrameSpec = {
    ...{ fromMac: mac, toMac: sourceMac, protocol: request.protocol, flags: 'SA' },
    ...(direct
      ? { source: request.destination, sourcePort: request.destinationPort }
      : { source: address, sourcePort: port ?? 0 }),
    ...(full
      ? { destination: scene.addresses.nat, destinationPort: natPort }
      : { destination: request.source, destinationPort: request.sourcePort }),
  };
  path.map('flows').update(keyOf(answer), entry({ direction: FLOW_DIRECTION.answer }));
  return answer;
}

function noted(answer: FrameSpec) {
  const bytes = path.map('flows').lookup(keyOf(answer));
  if (bytes === null) throw new Error('expected the entry of the answer to stay');
  return flow.decode(bytes);
}

for (const combination of combinations) {
  const tcp = combination.protocol === 'tcp';
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      check(new Scene(path, combination));
    });
  };

  for (const state of ['serving', 'draining', 'down'] as const) {
    at(`a probe reaches a member that is ${state} and in no slot`, (scene) => {
      const request = scene.request({ sourcePort: 40_123, flags: 'S' });
      place(scene, request);
      setProbing(true);
      scene.set(scene.spare, { state });
      scene.expectAt(scene.spare, request);
      // So does what ends it, and neither counts as an active flow.
      if (tcp) scene.expectAt(scene.spare, { ...request, flags: 'R' });
      assert.is(path.active('member', scene.spare.row), 0, 'active flows of the member');
    });
  }

  at('others go where they would, while a member is tested and after', (scene) => {
    const request = scene.request({ sourcePort: 40_123, flags: 'S' });
    place(scene, request);
    setProbing(true);
    scene.expectAt(scene.home);
    setProbing(false);
    scene.expectAt(scene.home, scene.request({ sourcePort: 40_124 }));
  });

  at('a probe of a row that changed hands does not reach its new owner', (scene) => {
    const request = scene.request({ sourcePort: 40_123, flags: 'S' });
    place(scene, request);
    setProbing(true);
    scene.set(scene.spare, { generation: 2 });
    scene.expectAt(scene.home, request);
  });

  at('the first answer is noted, and none goes further', (scene) => {
    const request = scene.request({ sourcePort: 40_123, flags: 'S' });
    const answer = place(scene, request);
    setProbing(true);
    scene.expectAt(scene.spare, request);
    assert.is(noted(answer).hash, 0, 'nothing has come yet');
    path.events();
    const drops = JSON.stringify(path.drops());
    const before = process.hrtime.bigint();
    assert.is(path.run(frame(answer), 1).verdict, 'drop');
    assert.is(path.run(frame({ ...answer, flags: 'RA' })).verdict, 'drop');
    const seen = noted(answer);
    assert.is(seen.hash, ANSWERED | (tcp ? synAck : 0), 'flags of the first answer');
    assert.is(seen.interface, 1);
    assert.ok(seen.seen_ns >= before && seen.seen_ns <= process.hrtime.bigint(), 'its time');
    assert.is(JSON.stringify(path.drops()), drops, 'it is not counted as a drop');
    assert.equal(path.events(), [], 'nor told');
  });
}

test.run();
