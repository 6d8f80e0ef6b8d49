/**
 * Fragments (RFC 791 §3.2, RFC 8200 §4.5): the first one goes where its flow goes, with its
 * transport checksum right for the whole packet, and the later ones follow it, both ways. Run with
 * BPF_PROG_TEST_RUN.
 *
 * Invariant: what must come out is the same part of the packet that the unit makes of the whole.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { Datapath, type MemberSpec } from './datapath.js';
import { guePort, wrap, type FrameSpec } from './packets.js';
import { combinations, expectDrop, expectPass, expectSent, Scene } from './scene.js';
import {
  expectShapeAt,
  expectShapeBack,
  extension,
  fragment,
  fragmentBetween,
  reheader,
  tunnelled,
  type Shape,
} from './shapes.js';

const test = suite('bpf fragments');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const payload = Uint8Array.from({ length: 400 }, (_, index) => (index * 13) & 0xff);
const id = 0x4711;
const first = fragment(0, 64);
const middle = fragment(64, 128);
const last = fragment(128, null);
const otherId = fragment(64, 128, id + 1);

/** Packets in parts, in the order in which they come. */
const orders: readonly { readonly name: string; readonly parts: readonly Shape[] }[] = [
  { name: 'two parts', parts: [first, fragment(64, null)] },
  { name: 'three parts', parts: [first, middle, last] },
  { name: 'the last before the middle one', parts: [first, last, middle] },
  { name: 'the first one twice', parts: [first, first, middle, last] },
  { name: 'a later one twice', parts: [first, middle, middle, last] },
  { name: 'parts that overlap', parts: [first, fragment(32, 128), last] },
  { name: 'parts with a gap', parts: [first, last] },
  { name: 'the least first part', parts: [fragment(0, 24), fragment(24, null)] },
  { name: 'the least later part', parts: [first, fragment(64, 72), fragment(72, null)] },
  { name: 'a last part of one byte', parts: [fragment(0, 400), fragment(400, 401), last] },
  {
    name: 'two packets at a time',
    parts: [first, fragment(0, 72, id + 1), middle, fragment(72, null, id + 1), last],
  },
  { name: 'the same packet once more', parts: [first, last, first, last] },
  {
    name: 'identification 0 and the highest one',
    parts: [fragment(0, 64, 0), fragment(64, null, 0), fragment(0, 8 * 8, 65535), fragment(64, null, 65535)], // prettier-ignore
  },
];

function withOptions(bytes: number): (spec: FrameSpec) => FrameSpec {
  return (spec) => ({ ...spec, ipOptions: bytes });
}

/** Makes what is known of all fragments look so many seconds older. */
function ageFragments(seconds: number): void {
  const map = path.map('fragments');
  const { keys, values } = map.readAll();
  for (let row = 0; row * map.keySize < keys.length; row++) {
    const key = keys.subarray(row * map.keySize, (row + 1) * map.keySize);
    const value = Buffer.from(values.subarray(row * map.valueBytes, (row + 1) * map.valueBytes));
    const seen = process.hrtime.bigint() - BigInt(seconds) * 1_000_000_000n;
    value.writeBigUInt64LE(seen, 0);
    map.update(key, value);
  }
}

for (const combination of combinations) {
  const at = (what: string, check: (scene: Scene, request: FrameSpec) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      const scene = new Scene(path, combination);
      path.settings({ errorsPerSecond: 1000, natAddresses: [scene.addresses.nat] });
      check(scene, scene.request({ payload }));
    });
  };
  const six = combination.family === 'ipv6';
  const { forwarding } = combination;
  const answers = forwarding.endsWith('nat');
  const send = (scene: Scene, part: Shape, spec: FrameSpec, member?: MemberSpec): void => {
    expectShapeAt(path, scene, part, spec, member);
  };
  const other = (scene: Scene): FrameSpec =>
    scene.request({ payload, destination: scene.addresses.other });

  for (const { name, parts } of orders) {
    at(name, (scene, request) => {
      for (const part of parts) send(scene, part, request);
      assert.is(path.serviceCounters(3).packets, parts.length, 'packets counted');
      assert.equal(path.drops(), {});
    });

    if (answers) {
      at(`an answer: ${name}`, (scene) => {
        expectShapeAt(path, scene, first, scene.request({ payload }));
        const answer = scene.answer(scene.home, { payload });
        for (const part of parts) expectShapeBack(path, scene, part, answer);
        assert.is(path.serviceCounters(3).replyPackets, parts.length, 'replies counted');
        assert.equal(path.drops(), {});
      });
    }
  }

  at('a later one before its first is dropped, after it goes on', (scene, request) => {
    expectDrop(path, wrap(middle(request)), 'FRAGMENT');
    expectDrop(path, wrap(last(request)), 'FRAGMENT');
    send(scene, first, request);
    send(scene, middle, request);
    expectDrop(path, wrap(otherId(request)), 'FRAGMENT');
    expectDrop(path, wrap(middle({ ...request, source: scene.addresses.other })), 'FRAGMENT');
    assert.is(path.totals().errorsSent, 0, 'nothing is said of fragments');
  });

  at('what is known of a first one holds for a minute', (scene, request) => {
    send(scene, first, request);
    ageFragments(55);
    send(scene, middle, request);
    ageFragments(65);
    expectDrop(path, wrap(middle(request)), 'FRAGMENT');
    send(scene, first, request);
    send(scene, middle, request);
  });

  at('they follow the first one although flows go elsewhere now', (scene, request) => {
    send(scene, first, request);
    scene.send(2);
    scene.set(scene.home, { state: 'draining' });
    send(scene, middle, request);
    if (forwarding !== 'full-nat') path.forget(scene.tuple);
    send(scene, last, request);
  });

  at('without the member of the first one they are dropped', (scene, request) => {
    send(scene, first, request);
    scene.set(scene.home, { generation: 2 });
    expectDrop(path, wrap(middle(request)), 'FRAGMENT');
    scene.set(scene.home, { generation: 1, interface: 77 });
    expectDrop(path, wrap(middle(request)), 'REDIRECT');
  });

  at('for other addresses they pass', (scene) => {
    for (const part of [first, middle, last]) expectPass(path, wrap(part(other(scene))));
  });

  at('a hop count used up: dropped, and nothing is said', (scene, request) => {
    expectDrop(path, wrap(first({ ...request, ttl: 1 })), 'TTL_EXCEEDED');
    send(scene, first, request);
    for (const ttl of [0, 1]) {
      expectDrop(path, wrap(middle({ ...request, ttl })), 'TTL_EXCEEDED');
    }
    send(scene, middle, { ...request, ttl: 2 });
    assert.is(path.totals().errorsSent, 0, 'errors sent');
  });

  at('one longer than the way to the member is dropped', (scene, request) => {
    // A later one alone: what is said of a first one is another file's subject.
    const long = { ...request, payload: Buffer.alloc(900, 1) };
    const most = Buffer.from(fragment(64, 264)(long)).length;
    const outer = forwarding !== 'tunnel' ? 0 : six ? 40 : 20;
    path.member({ ...scene.home, mtu: most + outer });
    send(scene, first, long);
    send(scene, fragment(64, 264), long);
    expectDrop(path, wrap(fragment(64, 272)(long)), 'TOO_BIG');
    assert.is(path.totals().errorsSent, 0, 'errors sent');
  });

  at('a first one without the ports, or too short for the header, is dropped', (scene, request) => {
    const short = combination.protocol === 'tcp' ? [0, 8, 16] : [0];
    for (const to of short) {
      expectDrop(path, wrap(fragment(0, to)(request)), 'MALFORMED');
      expectDrop(path, wrap(fragment(8, 16)(request)), 'FRAGMENT');
      expectPass(path, wrap(fragment(0, to)(other(scene))));
    }
  });

  at('tags of the client and of the member', () => {
    for (const vlan of [[], [100], [200, 100]]) {
      const scene = new Scene(path, combination);
      const request = scene.request({ payload });
      const home: MemberSpec = { ...scene.home, vlan: [300, 301] };
      path.member(home);
      for (const part of [first, middle, last]) send(scene, part, { ...request, vlan }, home);
      if (!answers) continue;
      for (const part of [first, last]) {
        const answer = scene.answer(home, { payload, vlan: home.vlan ?? [] });
        const back = { ...scene.returned(answer), vlan };
        expectSent(path, wrap(part(answer), answer), wrap(part(back), back));
      }
    }
  });

  at('padding behind them is no part of them', (scene, request) => {
    send(scene, first, request);
    const short = fragment(400, 401);
    const plain = short(request);
    const bytes = path.run(Buffer.concat([wrap(plain), Buffer.alloc(20)]));
    assert.is(bytes.verdict, 'tx');
    send(scene, short, request);
  });

  if (answers) {
    at(
      'an answer’s later one without a first passes: it may be the member’s own',
      (scene, request) => {
        send(scene, first, request);
        const answer = scene.answer(scene.home, { payload });
        expectPass(path, wrap(middle(answer)));
        expectShapeBack(path, scene, first, answer);
        expectShapeBack(path, scene, middle, answer);
        expectDrop(path, wrap(middle({ ...answer, ttl: 1 })), 'TTL_EXCEEDED');
        ageFragments(65);
        expectPass(path, wrap(middle(answer)));
        expectShapeBack(path, scene, first, answer);
        scene.set(scene.home, { generation: 2 });
        expectDrop(path, wrap(middle(answer)), 'FRAGMENT');
      },
    );
  }

  if (forwarding === 'tunnel') {
    const far = six ? '10.0.1.66' : 'fd00:0:0:b::66';
    for (const [how, address, port] of [
      ['of GUE', null, guePort],
      ['of the other family', far, 0],
      ['of GUE of the other family', far, guePort],
    ] as const) {
      at(`through a tunnel ${how}`, (scene, request) => {
        const member = { ...scene.home, address: address ?? scene.home.address };
        path.member(member);
        path.service({ ...scene.service, guePort: port });
        for (const part of [first, middle, last]) {
          const inner = part(scene.moved(request, member));
          // Nobody knows what a part of a packet adds up to.
          const around = tunnelled(request, member, inner, { port, noChecksum: true });
          expectSent(path, wrap(part(request)), around);
        }
      });
    }
  }

  if (six) {
    at('a first one that ends within its headers is dropped', (scene, request) => {
      const behind = [extension('destination', 64)];
      for (const to of [8, 56, 64, 72]) {
        const short = fragmentBetween([], behind, 0, to);
        // 8 bytes of the transport are enough for UDP.
        if (to === 72 && combination.protocol === 'udp') send(scene, short, request);
        else expectDrop(path, wrap(short(request)), 'MALFORMED');
        expectPass(path, wrap(short(other(scene))));
      }
    });

    at('extension headers before and behind the fragment header', (scene, request) => {
      const before = [extension('hopByHop'), extension('routing', 24)];
      const behind = [extension('destination', 16)];
      const parts = [[0, 64], [64, 128], [128, null]] as const; // prettier-ignore
      for (const [from, to] of parts) {
        send(scene, fragmentBetween(before, [], from, to), request);
        send(scene, fragmentBetween([], behind, from, to, id + 1), request);
        send(scene, fragmentBetween(before, behind, from, to, id + 2), request);
      }
      expectDrop(path, wrap(fragmentBetween([], behind, 64, 128, id + 3)(request)), 'FRAGMENT');
      expectPass(path, wrap(fragmentBetween([], behind, 64, 128)(other(scene))));
    });
    continue;
  }

  at('IPv4 options in the first one alone, and in all', (scene, request) => {
    for (const [one, rest] of [
      [4, 0],
      [40, 0],
      [12, 12],
    ] as const) {
      // prettier-ignore
      send(scene, first, withOptions(one)(request));
      send(scene, middle, withOptions(rest)(request));
      send(scene, last, withOptions(rest)(request));
    }
  });

  at('a wrong checksum of the IPv4 header is dropped', (scene, request) => {
    send(scene, first, request);
    for (const ipOptions of [0, 8]) {
      for (const part of [first, middle]) {
        const wrong = part({ ...request, ipOptions });
        wrong[10] = (wrong[10] ?? 0) ^ 0x40;
        expectDrop(path, wrap(wrong), 'IP_CHECKSUM');
      }
    }
  });

  at('of another transport, with the same identification, they pass', (scene, request) => {
    send(scene, first, request);
    const sctp = reheader(middle(request), (header) => {
      header[9] = 132;
    });
    expectPass(path, wrap(sctp));
  });
}

test.run();
