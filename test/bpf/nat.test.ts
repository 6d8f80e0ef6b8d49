/**
 * Nat forwarding in both directions: replies, conflicts, entries that were lost, connections
 * that end. Run with BPF_PROG_TEST_RUN.
 */
import { createServer } from 'node:net';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { enterNetworkNamespace } from '../../native/ffi/namespace.js';
import { lacking, needs } from '../support/needs.js';
import { Datapath } from './datapath.js';
import { addressBytes, clientMac, frame, unitMac, type FrameSpec } from './packets.js';
import { combinations, expectDrop, expectPass, expectSent, Scene } from './scene.js';

const test = suite('bpf nat');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

/** What the unit makes of a member's answer on its way to the client. */
function returned(scene: Scene, answer: FrameSpec): FrameSpec {
  return {
    ...answer,
    fromMac: unitMac,
    toMac: clientMac,
    source: scene.addresses.service,
    sourcePort: 80,
    ttl: (answer.ttl ?? 61) - 1,
  };
}

function expectReturned(scene: Scene, answer: FrameSpec): void {
  expectSent(path, frame(answer), frame(returned(scene, answer)));
}

/** A second nat service whose member is the first one's, at the same port. */
function secondService(scene: Scene): FrameSpec {
  path.service({ ...scene.service, id: 4, address: scene.addresses.other });
  return scene.request({ destination: scene.addresses.other });
}

for (const combination of combinations.filter((one) => one.forwarding === 'nat')) {
  const tcp = combination.protocol === 'tcp';
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      check(new Scene(path, combination));
    });
  };

  at('an answer goes back as from the service', (scene) => {
    scene.expectAt(scene.home);
    const answer = scene.answer(scene.home, { payload: Buffer.from('hello, client') });
    expectReturned(scene, answer);
    const service = path.serviceCounters(3);
    const bytes = frame(answer).length;
    assert.equal([service.replyPackets, service.replyBytes], [1, bytes], 'service counters');
    const member = path.memberCounters(1);
    assert.equal([member.replyPackets, member.replyBytes], [1, bytes], 'member counters');
    assert.is(member.packets, 1, 'packets to the member');
  });

  if (tcp) {
    at('a segment without a flow is dropped', (scene) => {
      expectDrop(path, frame(scene.answer(scene.home)), 'NO_FLOW');
      scene.expectAt(scene.home);
      expectDrop(path, frame(scene.answer(scene.home, { destinationPort: 40_001 })), 'NO_FLOW');
    });

    at('a connection that the member itself opens from its service port passes', (scene) => {
      expectPass(path, frame(scene.answer(scene.home, { flags: 'S' })));
      expectDrop(path, frame(scene.answer(scene.home, { flags: 'SA' })), 'NO_FLOW');
    });
  } else {
    at('a datagram without a flow passes: it may be the member’s own', (scene) => {
      expectPass(path, frame(scene.answer(scene.home)));
      scene.expectAt(scene.home);
      expectPass(path, frame(scene.answer(scene.home, { destinationPort: 40_001 })));
    });
  }

  at('without nat services nothing is looked up', (scene) => {
    path.settings({ natServices: 0 });
    expectPass(path, frame(scene.answer(scene.home)));
  });

  at('another port of the member passes', (scene) => {
    scene.expectAt(scene.home);
    expectPass(path, frame(scene.answer(scene.home, { sourcePort: 22 })));
  });

  at('an answer with TTL 1 is dropped, with 2 leaves as 1', (scene) => {
    scene.expectAt(scene.home);
    expectDrop(path, frame(scene.answer(scene.home, { ttl: 1 })), 'TTL_EXCEEDED');
    expectReturned(scene, scene.answer(scene.home, { ttl: 2 }));
  });

  at('a member without a port of its own keeps the service’s', (scene) => {
    path.member({ ...scene.home, port: 0 });
    path.replySource(scene.home.address, 80, combination.protocol);
    const home = { ...scene.home, port: 0 };
    scene.expectAt(home);
    expectReturned(scene, scene.answer(home));
  });

  at('two services cannot give one member the same tuple', (scene) => {
    const second = secondService(scene);
    scene.expectAt(scene.home);
    scene.expectDrop('FLOW_CONFLICT', frame(second));
    assert.is(path.flow(second), null, 'the second flow must not begin');
    // The first goes on, in both directions.
    scene.expectAt(scene.home);
    expectReturned(scene, scene.answer(scene.home));
    // Another client port is no conflict.
    scene.expectAt(scene.home, { ...second, sourcePort: 40_002 });
  });

  at('a conflict ends with the other flow’s idle time', (scene) => {
    const second = secondService(scene);
    scene.expectAt(scene.home);
    path.age(scene.replyTuple(scene.home), tcp ? 7430 : 110);
    scene.expectDrop('FLOW_CONFLICT', frame(second));
    path.age(scene.replyTuple(scene.home), tcp ? 7450 : 125);
    scene.expectAt(scene.home, second);
  });

  at('an evicted reply entry is back within a second', (scene) => {
    scene.expectAt(scene.home);
    assert.ok(path.forget(scene.replyTuple(scene.home)));
    scene.expectAt(scene.home);
    if (tcp) expectDrop(path, frame(scene.answer(scene.home)), 'NO_FLOW');
    path.age(scene.tuple, 2);
    scene.expectAt(scene.home);
    expectReturned(scene, scene.answer(scene.home));
  });

  at('a client that shows up behind another MAC address is followed', (scene) => {
    scene.expectAt(scene.home);
    const fromMac = '02:00:00:00:00:c2';
    scene.expectAt(scene.home, scene.request({ fromMac }));
    assert.is(path.flow(scene.replyTuple(scene.home))?.clientMac, clientMac);
    path.age(scene.tuple, 2);
    scene.expectAt(scene.home, scene.request({ fromMac }));
    assert.is(path.flow(scene.replyTuple(scene.home))?.clientMac, fromMac);
    const answer = scene.answer(scene.home);
    expectSent(path, frame(answer), frame({ ...returned(scene, answer), toMac: fromMac }));
  });

  at('a moved flow gets a reply entry at its new member', (scene) => {
    scene.expectAt(scene.home);
    scene.set(scene.home, { state: 'down' });
    scene.send(2);
    scene.expectAt(scene.spare);
    expectReturned(scene, scene.answer(scene.spare));
    assert.is(path.memberCounters(2).replyPackets, 1);
  });

  at('answers of the same member to other flows stay apart', (scene) => {
    for (const sourcePort of [40_010, 40_011, 40_012]) {
      scene.expectAt(scene.home, scene.request({ sourcePort }));
    }
    for (const destinationPort of [40_012, 40_010, 40_011]) {
      expectReturned(scene, scene.answer(scene.home, { destinationPort }));
    }
  });

  at('replies keep seen_ns fresh', (scene) => {
    scene.expectAt(scene.home);
    path.age(scene.replyTuple(scene.home), 30);
    const before = path.flow(scene.replyTuple(scene.home))?.seenNs ?? 0n;
    expectReturned(scene, scene.answer(scene.home));
    const after = path.flow(scene.replyTuple(scene.home))?.seenNs ?? 0n;
    assert.ok(after > before, `seen at ${after}, expected after ${before}`);
  });

  if (tcp) {
    at('both sides’ FIN free the tuple', (scene) => {
      const second = secondService(scene);
      scene.expectAt(scene.home, scene.request({ flags: 'S' }));
      scene.expectAt(scene.home, scene.request({ flags: 'FA' }));
      assert.is(path.flow(scene.replyTuple(scene.home))?.closing, 1);
      scene.expectDrop('FLOW_CONFLICT', frame(second));
      expectReturned(scene, scene.answer(scene.home, { flags: 'FA' }));
      assert.is(path.flow(scene.replyTuple(scene.home))?.closing, 3);
      scene.expectAt(scene.home, second);
    });

    at('a reset from either side frees the tuple', (scene) => {
      const second = secondService(scene);
      scene.expectAt(scene.home);
      scene.expectAt(scene.home, scene.request({ flags: 'R' }));
      scene.expectAt(scene.home, { ...second, flags: 'S' });
      expectSent(
        path,
        frame(scene.answer(scene.home, { flags: 'RA' })),
        frame({
          ...returned(scene, scene.answer(scene.home, { flags: 'RA' })),
          source: scene.addresses.other,
        }),
      );
      scene.expectAt(scene.home, scene.request({ flags: 'S' }));
    });

    at('a SYN on an ended flow makes it live again', (scene) => {
      const second = secondService(scene);
      scene.expectAt(scene.home);
      scene.expectAt(scene.home, scene.request({ flags: 'R' }));
      scene.expectAt(scene.home, scene.request({ flags: 'S' }));
      assert.is(path.flow(scene.replyTuple(scene.home))?.closing, 0);
      scene.expectDrop('FLOW_CONFLICT', frame({ ...second, flags: 'S' }));
    });
  } else {
    at('a zero checksum stays in answers', (scene) => {
      scene.expectAt(scene.home);
      expectReturned(scene, scene.answer(scene.home, { noChecksum: true }));
    });

    at('a checksum that computes to zero becomes all ones', (scene) => {
      // The last word of the payload is chosen so that the member's datagram sums to all ones.
      const payload = Buffer.alloc(4);
      const target = scene.natted(scene.request({ payload }), scene.home);
      const probe = frame(target);
      const at4 = combination.family === 'ipv4' ? 14 + 20 : 14 + 40;
      const check = probe.readUInt16BE(at4 + 6);
      // With this word the sum is 0xffff and its complement zero.
      payload.writeUInt16BE(check, 2);
      const expected = frame({ ...target, payload });
      assert.is(expected.readUInt16BE(at4 + 6), 0xffff, 'the test’s own arithmetic');
      expectSent(path, frame(scene.request({ payload })), expected);
    });
  }
}

/** An XorShift generator: the same frames every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

needs.bpf(test)('checksums hold for 2,000 random frames in both directions', () => {
  const next = random(0x1624);
  for (const combination of combinations.filter((one) => one.forwarding === 'nat')) {
    const scene = new Scene(path, combination);
    for (let round = 0; round < 250; round++) {
      const size = addressBytes(scene.addresses.client).length;
      const bytes = Uint8Array.from({ length: size }, () => next() & 0xff);
      const source =
        size === 4
          ? bytes.join('.')
          : Array.from({ length: 8 }, (_, index) =>
              (((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0)).toString(16),
            ).join(':');
      const payload = Uint8Array.from({ length: next() % 64 }, () => next() & 0xff);
      const request = scene.request({
        source,
        sourcePort: next() & 0xffff,
        ttl: 2 + (next() % 250),
        payload,
      });
      scene.expectAt(scene.home, request);
      const answer = scene.answer(scene.home, {
        destination: source,
        destinationPort: request.sourcePort,
        ttl: 2 + (next() % 250),
        payload,
      });
      expectReturned(scene, answer);
    }
  }
});

needs.bpf(test)('an answer that a socket of the unit waits for passes', async () => {
  const leave = enterNetworkNamespace();
  const server = createServer();
  try {
    server.listen(18_080, '::');
    await once(server, 'listening');
    const nat = combinations.filter((one) => one.forwarding === 'nat' && one.protocol === 'tcp');
    for (const combination of nat) {
      const scene = new Scene(path, combination);
      expectPass(path, frame(scene.answer(scene.home, { destinationPort: 18_080 })));
      expectDrop(path, frame(scene.answer(scene.home, { destinationPort: 18_099 })), 'NO_FLOW');
    }
  } finally {
    server.close();
    leave();
  }
});

test.run();
