/**
 * Members behind another interface than the client: every kind of packet is handed to that one,
 * and only to interfaces of the fast path; what the unit says itself goes back where the packet
 * came from. Run with BPF_PROG_TEST_RUN in a network namespace of its own.
 */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { enterNetworkNamespace } from '../../native/ffi/namespace.js';
import { lacking, needs } from '../support/needs.js';
import { Datapath, type Action, type MemberSpec } from './datapath.js';
import { clientMac, echo, frame, guePort, unitMac, wrap, type FrameSpec } from './packets.js';
import { combinations, expectDrop, expectPass, expectSent, Scene } from './scene.js';
import {
  errorKinds,
  extended,
  extension,
  forwarded,
  fragment,
  icmp,
  tunnelled,
  whole,
  type Shape,
} from './shapes.js';

const test = suite('bpf interfaces');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

/** The client’s is the loopback, which test runs come from unless told. */
const outside = 1;

/** Runs the check with the index of a second interface. */
function withInterface(check: (inside: number) => void): void {
  const leave = enterNetworkNamespace();
  try {
    execFileSync('ip', ['link', 'add', 'weir0', 'type', 'veth', 'peer', 'name', 'weir1']);
    const list = execFileSync('ip', ['-o', 'link', 'show', 'weir0'], { encoding: 'utf8' });
    check(Number.parseInt(list, 10));
  } finally {
    leave();
  }
}

for (const combination of combinations) {
  const { family, forwarding } = combination;
  const six = family === 'ipv6';
  const nat = forwarding.endsWith('nat');
  const shapes: readonly Shape[] = [
    whole,
    fragment(0, 64),
    fragment(64, null),
    six ? extended([extension('hopByHop')]) : (spec) => whole({ ...spec, ipOptions: 8 }),
  ];
  const payload = Buffer.alloc(100, 5);
  const error = errorKinds[family][0].error;

  /** A scene whose member is behind the second interface, and a flow that has begun. */
  const at = (
    what: string,
    check: (scene: Scene, home: MemberSpec, inside: number) => void,
  ): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      withInterface((inside) => {
        const scene = new Scene(path, combination);
        path.settings({ errorsPerSecond: 1000, natAddresses: [scene.addresses.nat] });
        const home = { ...scene.home, interface: inside };
        path.member(home);
        path.port(inside);
        path.port(outside);
        assert.is(path.run(frame(scene.request())).verdict, 'redirect');
        check(scene, home, inside);
      });
    });
  };
  const aboutAnswer = (scene: Scene, home: MemberSpec): { sent: Buffer; expected: Buffer } => {
    const answer = scene.answer(home, { payload });
    const seen: FrameSpec = { ...scene.returned(answer), ttl: 61 };
    const common = { ...error, source: scene.addresses.client };
    const service = scene.addresses.service;
    const body = whole(nat ? answer : seen);
    const moved = { ...common, ttl: 60, destination: nat ? home.address : service, body };
    const link = { fromMac: home.sourceMac, toMac: home.mac };
    const tunnel = forwarding === 'tunnel';
    return {
      sent: wrap(icmp({ ...common, destination: service, body: whole(seen) })),
      expected: tunnel ? tunnelled(scene.request(), home, icmp(moved)) : wrap(icmp(moved), link),
    };
  };

  at('packets of the client', (scene, home, inside) => {
    for (const [ingress, verdict] of [
      [outside, 'redirect'],
      [inside, 'tx'],
    ] as [number, Action][]) {
      // prettier-ignore
      for (const vlan of [[], [100]]) {
        for (const shape of shapes) {
          const request = scene.request({ payload, vlan });
          const expected = (): Buffer => forwarded(scene, request, home, shape);
          expectSent(path, wrap(shape(request), request), expected, ingress, verdict);
        }
      }
      const { sent, expected } = aboutAnswer(scene, home);
      expectSent(path, sent, expected, ingress, verdict);
    }
  });

  at('under the tags towards the member', (scene, home) => {
    const tagged = { ...home, vlan: [300] };
    path.member(tagged);
    for (const shape of shapes) {
      const request = scene.request({ payload });
      const expected = (): Buffer => forwarded(scene, request, tagged, shape);
      expectSent(path, wrap(shape(request)), expected, outside, 'redirect');
    }
  });

  at('what the unit says itself goes back', (scene, _, inside) => {
    const { client: source, service: destination } = scene.addresses;
    for (const ingress of [outside, inside]) {
      const late = path.run(frame(scene.request({ ttl: 1, payload })), ingress);
      assert.is(late.verdict, 'tx');
      const macs = { fromMac: unitMac, toMac: clientMac };
      const back = { source: destination, destination: source, kind: 'reply', ttl: 64 } as const;
      expectSent(path, echo({ source, destination }), echo({ ...back, ...macs }), ingress);
      expectPass(path, frame(scene.request({ destination: scene.addresses.other })));
    }
  });

  at('an interface outside of the fast path gets nothing', (scene, home) => {
    const [first, later] = [fragment(0, 64), fragment(64, null)];
    path.run(wrap(first(scene.request({ payload }))));
    path.member({ ...home, interface: 4711 });
    expectDrop(path, frame(scene.request()), 'REDIRECT');
    expectDrop(path, wrap(first(scene.request({ payload }))), 'REDIRECT');
    expectDrop(path, wrap(later(scene.request({ payload }))), 'REDIRECT');
    expectDrop(path, aboutAnswer(scene, home).sent, 'REDIRECT');
  });

  if (forwarding === 'tunnel') {
    at('by GUE', (scene, home) => {
      path.service({ ...scene.service, guePort });
      const request = scene.request({ payload });
      const inner = whole(scene.moved(request, home));
      const around = tunnelled(request, home, inner, { port: guePort });
      expectSent(path, frame(request), around, outside, 'redirect');
    });
  }
  if (!nat) continue;

  at('packets of the member', (scene, home, inside) => {
    const answer = scene.answer(home, { payload });
    const back = scene.returned(answer);
    for (const [ingress, verdict] of [
      [inside, 'redirect'],
      [outside, 'tx'],
    ] as [number, Action][]) {
      // prettier-ignore
      for (const shape of shapes) {
        expectSent(path, wrap(shape(answer), answer), wrap(shape(back), back), ingress, verdict);
      }
      const request = { ...scene.moved(scene.request({ payload }), home), ttl: 61 };
      const about = { ...error, source: home.address, destination: request.source };
      const told = {
        ...error,
        source: scene.addresses.service,
        destination: scene.addresses.client,
        body: whole(scene.request({ payload })),
        ttl: 60,
      };
      const link = { fromMac: home.mac, toMac: home.sourceMac };
      const sent = wrap(icmp({ ...about, body: whole(request) }), link);
      const expected = wrap(icmp(told), { fromMac: unitMac, toMac: clientMac });
      expectSent(path, sent, expected, ingress, verdict);
    }
  });

  at('an answer to an interface outside of the fast path is dropped', (scene, home) => {
    const answer = scene.answer(home, { payload });
    path.run(wrap(fragment(0, 64)(answer), answer));
    path.patch(answer, (entry) => {
      entry.setUint32(44, 4711, true);
    });
    expectDrop(path, frame(answer), 'REDIRECT');
    expectDrop(path, wrap(fragment(0, 64)(answer), answer), 'REDIRECT');
  });
}

test.run();
