/**
 * Packets for services: each behaviour in both families, both protocols, both forwarding modes.
 * Run with BPF_PROG_TEST_RUN; no packet leaves the machine.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { Datapath } from './datapath.js';
import { frame, unitMac } from './packets.js';
import { combinations, expectPass, expectSent, Scene, slots } from './scene.js';

const test = suite('bpf forward');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

for (const combination of combinations) {
  const tracked = combination.forwarding === 'nat' || combination.forwarding === 'full-nat';
  const tcp = combination.protocol === 'tcp';
  const start = tcp ? { flags: 'S' } : {};
  const at = (what: string, check: (scene: Scene) => void): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, () => {
      check(new Scene(path, combination));
    });
  };

  at('a first packet begins a flow', (scene) => {
    const request = scene.request(start);
    scene.expectAt(scene.home, request);
    const bytes = frame(request).length;
    const replies = { replyPackets: 0, replyBytes: 0, answers: 0, resets: 0 };
    const expected = { packets: 1, bytes, flows: 1, ...replies };
    assert.equal(path.serviceCounters(3), expected, 'service counters');
    assert.equal(path.memberCounters(1), expected, 'member counters');
    const [event, ...more] = path.events();
    assert.equal(more, [], 'further events');
    assert.is(event?.kind, 'flow-new');
    assert.is(event?.service, 3);
    assert.is(event?.member, 1);
    assert.is(event?.previous, 0);
    assert.is(event?.sourcePort, scene.clientPort);
    assert.equal(path.totals(), { passed: 0, echoReplies: 0, eventsLost: 0, errorsSent: 0 });
    const entry = path.flow(scene.tuple);
    if (!tracked) {
      assert.is(entry, null, 'a flow that its hash sends needs no entry');
      return;
    }
    assert.is(entry?.member, 1);
    assert.is(entry?.direction, 'forward');
    assert.is(path.flow(scene.replyTuple(scene.home))?.direction, 'reply');
    assert.is(path.active('member', 1), 1, 'active flows of the member');
    assert.is(path.active('service', 3), 1, 'active flows of the service');
  });

  at('a frame that a switch flooded, for another MAC address, is left to the kernel', (scene) => {
    const other = '02:00:00:00:00:77';
    const natAddresses = [scene.addresses.nat];
    const to = (toMac: string): Parameters<typeof frame>[0] => ({ ...scene.request(start), toMac });
    path.settings({ errorsPerSecond: 0, natAddresses, ownMacs: [other, unitMac] });
    scene.expectAt(scene.home, to(unitMac));
    for (const mac of ['02:00:00:00:00:78', '00:00:00:00:00:01', '00:00:5e:00:00:01']) {
      expectPass(path, frame(to(mac)));
    }
    assert.is(path.serviceCounters(3).packets, 1, 'packets counted for the service');
    scene.expectAt(scene.home, to(other));
    const router4 = '00:00:5e:00:01:33';
    const router6 = '00:00:5e:00:02:33';
    const held = (from: readonly string[]): void => {
      for (const mac of [router4, router6]) {
        if (from.includes(mac)) scene.expectAt(scene.home, to(mac));
        else expectPass(path, frame(to(mac)));
      }
      // Nobody has said anything of this one.
      scene.expectAt(scene.home, to('00:00:5e:00:01:34'));
    };
    held([router4, router6]);
    const elsewhere = new Uint8Array(512);
    elsewhere[0x33] = 1;
    path.map('elsewhere').update(Uint8Array.of(0, 0, 0, 0), elsewhere);
    held([router6]);
    elsewhere[256 + 0x33] = 1;
    path.map('elsewhere').update(Uint8Array.of(0, 0, 0, 0), elsewhere);
    held([]);
    path.map('elsewhere').update(Uint8Array.of(0, 0, 0, 0), new Uint8Array(512));
    held([router4, router6]);
    const many = Array.from({ length: 63 }, (_, at) => `02:00:00:00:01:${(at + 16).toString(16)}`);
    path.settings({ errorsPerSecond: 0, natAddresses, ownMacs: [unitMac, ...many] });
    for (const mac of [unitMac, ...many]) scene.expectAt(scene.home, to(mac));
    expectPass(path, frame(to(other)));
    path.settings({ errorsPerSecond: 0, natAddresses });
    scene.expectAt(scene.home, to('02:00:00:00:00:78'));
  });

  at('its flow stays when the lookup table changes', (scene) => {
    scene.expectAt(scene.home, scene.request(start));
    path.events();
    scene.send(2);
    scene.expectAt(scene.home);
    scene.expectAt(scene.home);
    assert.is(path.memberCounters(1).packets, 3);
    assert.is(path.memberCounters(1).flows, 1);
    assert.equal(path.events(), []);
    // Another flow goes where the table points now.
    scene.expectAt(scene.spare, scene.request({ sourcePort: 40_001, ...start }));
  });

  at('its flow moves when the row gets another owner', (scene) => {
    scene.expectAt(scene.home);
    path.events();
    if (!tracked) {
      // What the daemon does before a row changes hands.
      scene.send(2);
      scene.settle();
      scene.set(scene.home, { generation: 2 });
      scene.expectAt(scene.spare);
      assert.equal(path.events(), [], 'nobody knows that it was there before');
      return;
    }
    scene.set(scene.home, { generation: 2 });
    scene.send(2);
    scene.expectAt(scene.spare);
    const [event] = path.events();
    assert.is(event?.kind, 'flow-moved');
    assert.is(event?.previous, 1);
    assert.is(event?.member, 2);
    assert.is(path.memberCounters(2).flows, 1);
  });

  at('its flow moves when the member is down, and stays there', (scene) => {
    scene.expectAt(scene.home);
    path.events();
    scene.set(scene.home, { state: 'down' });
    scene.send(2);
    scene.expectAt(scene.spare);
    assert.equal(
      path.events().map((event) => [event.kind, event.previous, event.member]),
      [['flow-moved', 1, 2]],
    );
    scene.set(scene.home, { state: 'serving' });
    scene.send(1);
    scene.expectAt(scene.spare);
    assert.equal(path.events(), []);
  });

  at('a draining member keeps its flow', (scene) => {
    scene.expectAt(scene.home);
    scene.set(scene.home, { state: 'draining' });
    scene.send(2);
    scene.expectAt(scene.home);
    scene.expectAt(scene.spare, scene.request({ sourcePort: 40_001, ...start }));
  });

  if (tracked)
    at('an entry of the other direction is none', (scene) => {
      scene.expectAt(scene.home);
      path.patch(scene.tuple, (entry) => {
        entry.setUint8(14, 1);
      });
      scene.send(2);
      scene.expectAt(scene.spare);
    });

  at('a pool without slots drops new flows and keeps the old', (scene) => {
    scene.expectAt(scene.home);
    if (tracked) path.service({ ...scene.service, table: [] });
    else scene.send(0);
    scene.expectAt(scene.home);
    scene.expectDrop('NO_MEMBER', frame(scene.request({ sourcePort: 40_001, ...start })));
  });

  at('a slot whose member does not serve drops', (scene) => {
    scene.set(scene.home, { state: 'down' });
    scene.expectDrop('NO_MEMBER');
    if (tracked) {
      scene.set(scene.home, { state: 'draining' });
      scene.expectDrop('NO_MEMBER');
    }
    scene.set(scene.home, { state: 'free' });
    scene.expectDrop('NO_MEMBER');
    assert.is(path.flow(scene.tuple), null, 'no flow may begin');
  });

  at('an empty slot (row 0) drops', (scene) => {
    path.table(3, new Array<number>(slots).fill(0));
    scene.expectDrop('NO_MEMBER');
  });

  at('TTL or hop limit 1 and 0 drop, 2 leaves as 1', (scene) => {
    scene.expectDrop('TTL_EXCEEDED', frame(scene.request({ ttl: 1 })));
    scene.expectDrop('TTL_EXCEEDED', frame(scene.request({ ttl: 0 })));
    assert.is(path.flow(scene.tuple), null, 'no flow may begin');
    scene.expectAt(scene.home, scene.request({ ttl: 2 }));
    scene.expectAt(scene.home, scene.request({ ttl: 255 }));
    assert.is(path.serviceCounters(3).packets, 2);
  });

  at('another port of the address passes', (scene) => {
    expectPass(path, frame(scene.request({ destinationPort: 81 })));
  });

  at('the other protocol on the same port passes', (scene) => {
    expectPass(path, frame(scene.request({ protocol: tcp ? 'udp' : 'tcp' })));
  });

  at('another address passes', (scene) => {
    expectPass(path, frame(scene.request({ destination: scene.addresses.other })));
  });

  at('padding behind the packet is carried along', (scene) => {
    scene.expectAt(scene.home, scene.request({ padding: 6, payload: new Uint8Array(1) }));
  });

  at('an empty, an odd and a large payload', (scene) => {
    for (const size of [0, 1, 1400]) {
      const payload = Uint8Array.from({ length: size }, (_, index) => (index * 7) & 0xff);
      scene.expectAt(scene.home, scene.request({ payload }));
    }
  });

  at('the traffic class is left alone', (scene) => {
    scene.expectAt(scene.home, scene.request({ trafficClass: 0xb8 }));
  });

  at('a way out that is no port of the fast path drops', (scene) => {
    scene.set(scene.home, { interface: 77 });
    scene.expectDrop('REDIRECT');
    assert.is(path.serviceCounters(3).packets, 0, 'a dropped packet is not counted as forwarded');
  });

  if (tcp) {
    at('a SYN on a draining member’s flow is balanced anew, once', (scene) => {
      scene.expectAt(scene.home, scene.request(start));
      path.events();
      scene.set(scene.home, { state: 'draining' });
      scene.send(2);
      scene.expectAt(scene.home, scene.request({ flags: 'SA' }));
      scene.expectAt(scene.spare, scene.request(start));
      assert.equal(
        path.events().map((event) => [event.kind, event.member]),
        [['flow-new', 2]],
      );
      scene.expectAt(scene.spare, scene.request(start));
      scene.expectAt(scene.spare);
      assert.equal(path.events(), []);
    });

    at('a SYN on a serving member’s flow stays', (scene) => {
      scene.expectAt(scene.home, scene.request(start));
      scene.send(2);
      // Without an entry only a packet under way tells that there is a flow.
      scene.expectAt(scene.home, scene.request({ flags: 'A' }));
      scene.expectAt(scene.home, scene.request(start));
    });

    for (const [how, end] of [
      ['closed', 'FA'],
      ['reset', 'R'],
    ] as const) {
      at(`a SYN in the tuple of a connection that its client ${how} is balanced anew`, (scene) => {
        scene.expectAt(scene.home, scene.request(start));
        scene.send(2);
        scene.expectAt(scene.home, scene.request({ flags: end }));
        scene.expectAt(scene.home, scene.request({ flags: 'A' }));
        scene.expectAt(scene.spare, scene.request(start));
        scene.expectAt(scene.spare, scene.request({ flags: 'A' }));
        scene.send(1);
        scene.expectAt(scene.spare, scene.request(start));
      });
    }

    at('TCP options are carried along', (scene) => {
      scene.expectAt(scene.home, scene.request({ tcpOptions: 40, flags: 'S' }));
    });
  } else {
    at('a flow idle for more than two minutes is balanced anew', (scene) => {
      scene.expectAt(scene.home);
      scene.send(2);
      if (tracked) path.age(scene.tuple, 110);
      else path.recent(26);
      scene.expectAt(scene.home);
      path.events();
      path.age(scene.tuple, 125);
      path.recent(30);
      scene.expectAt(scene.spare);
      assert.equal(
        path.events().map((event) => [event.kind, event.member]),
        [['flow-new', 2]],
      );
    });

    at('a zero checksum stays', (scene) => {
      const request = scene.request({ noChecksum: true });
      scene.expectAt(scene.home, request);
    });
  }

  if (tracked)
    at('seen_ns is rewritten only when a second old', (scene) => {
      scene.expectAt(scene.home);
      const first = path.flow(scene.tuple)?.seenNs;
      scene.expectAt(scene.home);
      assert.is(path.flow(scene.tuple)?.seenNs, first);
      path.age(scene.tuple, 3);
      scene.expectAt(scene.home);
      const refreshed = path.flow(scene.tuple)?.seenNs ?? 0n;
      assert.ok(refreshed >= (first ?? 0n), `seen at ${refreshed}, expected ${first} or later`);
    });

  if (combination.family === 'ipv4') {
    at('IPv4 options of every length are carried along', (scene) => {
      for (let ipOptions = 4; ipOptions <= 40; ipOptions += 4) {
        scene.expectAt(scene.home, scene.request({ ipOptions }));
      }
    });
  }

  at('an ingress interface other than the way out needs a port', (scene) => {
    scene.set(scene.home, { interface: 1 });
    expectSent(path, frame(scene.request()), () => scene.delivered(scene.request(), scene.home), 1);
  });
}

needs.bpf(test)('nat: a member of the other family is no member', () => {
  for (const combination of combinations) {
    if (!combination.forwarding.endsWith('nat')) continue;
    const scene = new Scene(path, combination);
    const stranger = combination.family === 'ipv4' ? 'fd00::1' : '10.9.9.9';
    path.member({ ...scene.home, address: stranger });
    scene.expectDrop('NO_MEMBER');
  }
});

test.run();
