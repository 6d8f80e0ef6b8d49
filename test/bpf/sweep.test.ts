/**
 * What a sweep of the flow table removes, by state and age, and what it counts
 * (native/bpf/sweep.h). Ages are set, never waited for.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PATIENCE } from '../../appliance/l4/sweeper.js';
import { lacking, needs } from '../support/needs.js';
import { Datapath, previousEntries, type Tuple } from './datapath.js';
import { frame } from './packets.js';
import { combinations, expectDrop, Scene, slots, type Combination } from './scene.js';
import { sweep, type Swept } from './sweeping.js';

const test = suite('bpf sweep');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

const established = 1;
const offsets = { closing: 15, flags: 74 } as const;

/** Whether the member has answered, or the client has gone on; `closing` as in tables.h. */
interface State {
  readonly established: boolean;
  readonly closing?: number;
}

function put(tuple: Tuple, state: State, seconds: number): void {
  path.patch(tuple, (entry) => {
    const flags = entry.getUint8(offsets.flags) & ~established;
    entry.setUint8(offsets.flags, flags | (state.established ? established : 0));
    entry.setUint8(offsets.closing, state.closing ?? 0);
  });
  path.age(tuple, seconds);
}

function expectCounts(seen: Swept, expected: Partial<Swept>, what: string): void {
  const wanted = { ...seen, ...expected };
  assert.equal(seen, wanted, what);
}

/** Every state with how long it may be silent. */
const states: readonly {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly state: State;
  readonly seconds: number;
}[] = [
  { name: 'opening', protocol: 'tcp', state: { established: false }, seconds: PATIENCE.tcpOpen },
  { name: 'established', protocol: 'tcp', state: { established: true }, seconds: PATIENCE.tcpIdle },
  {
    name: 'ended by its client',
    protocol: 'tcp',
    state: { established: true, closing: 1 },
    seconds: PATIENCE.tcpClosing,
  },
  {
    name: 'ended by its member',
    protocol: 'tcp',
    state: { established: true, closing: 2 },
    seconds: PATIENCE.tcpClosing,
  },
  {
    name: 'ended',
    protocol: 'tcp',
    state: { established: true, closing: 3 },
    seconds: PATIENCE.closed,
  },
  { name: 'unanswered', protocol: 'udp', state: { established: false }, seconds: PATIENCE.udpNew },
  { name: 'answered', protocol: 'udp', state: { established: true }, seconds: PATIENCE.udpIdle },
];

/** All flows of a dsr or tunnel service have an entry when a cursor chooses. */
function tracking(combination: Combination): Scene {
  const scene = new Scene(path, combination);
  if (!scene.tracked) path.service({ ...scene.service, choice: 'cursor' });
  return scene;
}

for (const combination of combinations) {
  const nat = combination.forwarding === 'nat' || combination.forwarding === 'full-nat';
  const at = (what: string, check: (scene: Scene) => Promise<void>): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, async () => {
      await check(tracking(combination));
    });
  };
  /** Both directions' tuples, the client's first. */
  const directions = (scene: Scene): Tuple[] =>
    nat ? [scene.tuple, scene.replyTuple(scene.home)] : [scene.tuple];

  for (const { name, protocol, state, seconds } of states) {
    if (protocol !== combination.protocol) continue;
    at(`a flow that is ${name} goes after ${seconds} s`, async (scene) => {
      scene.expectAt(scene.home);
      const tuples = directions(scene);
      for (const tuple of tuples) put(tuple, state, seconds - 2);
      const ports = combination.forwarding === 'full-nat' ? 1 : 0;
      const all = { exceptions: 0, natPorts: ports };
      const stays = { ...all, entries: tuples.length, removed: 0 };
      assert.equal(await sweep(path), stays, 'before its time is over');
      const active = path.active('member', 1);
      for (const tuple of tuples) put(tuple, state, seconds + 2);
      const gone = { exceptions: 0, natPorts: 0, entries: 0, removed: tuples.length };
      assert.equal(await sweep(path), gone, 'afterwards');
      assert.is(path.map('flows').readAll().count, 0, 'entries left');
      assert.is(path.active('member', 1), active - 1, 'active flows of the member');
      assert.is(path.active('service', 3), 0, 'active flows of the service');
    });
  }

  at('a sweep leaves alone what is not over', async (scene) => {
    for (let port = 0; port < 20; port++) {
      scene.expectAt(scene.home, scene.request({ sourcePort: 41_000 + port }));
    }
    const entries = nat ? 40 : 20;
    expectCounts(await sweep(path), { entries, removed: 0 }, 'a table of fresh flows');
    assert.is(path.active('member', 1), 20);
  });

  if (!nat) continue;
  const idle = combination.protocol === 'tcp' ? PATIENCE.tcpIdle : PATIENCE.udpIdle;

  for (const [direction, name] of [
    [0, 'client'],
    [1, 'member'],
  ] as const) {
    at(`both directions stay while only the ${name} sends`, async (scene) => {
      scene.expectAt(scene.home);
      const tuples = directions(scene);
      tuples.forEach((tuple, index) => {
        put(tuple, { established: true }, index === direction ? 0 : idle + 100);
      });
      expectCounts(await sweep(path), { entries: 2, removed: 0 }, 'one direction in use');
      assert.is(path.active('member', 1), 1, 'it is still active');
      for (const tuple of tuples) path.age(tuple, idle + 2);
      expectCounts(await sweep(path), { entries: 0, removed: 2 }, 'none in use');
    });

    at(`what the ${name} alone says of the flow’s end counts`, async (scene) => {
      if (combination.protocol === 'udp') return;
      scene.expectAt(scene.home);
      directions(scene).forEach((tuple, index) => {
        const closing = index === direction ? index + 1 : 0;
        put(tuple, { established: true, closing }, PATIENCE.tcpClosing + 2);
      });
      expectCounts(await sweep(path), { entries: 0, removed: 2 }, 'ended by one side');
    });
  }

  if (combination.protocol === 'tcp') {
    at('a handshake that only the member answered is none', async (scene) => {
      scene.expectAt(scene.home, scene.request({ flags: 'S' }));
      const [forward, reply] = directions(scene);
      if (forward === undefined || reply === undefined) throw new Error('no directions');
      put(forward, { established: false }, PATIENCE.tcpOpen + 2);
      put(reply, { established: true }, PATIENCE.tcpOpen + 2);
      expectCounts(await sweep(path), { entries: 0, removed: 2 }, 'a forged client’s flow');
    });
  } else {
    at('an answer to either side is enough for datagrams', async (scene) => {
      scene.expectAt(scene.home);
      const [forward, reply] = directions(scene);
      if (forward === undefined || reply === undefined) throw new Error('no directions');
      put(forward, { established: false }, PATIENCE.udpNew + 2);
      put(reply, { established: true }, PATIENCE.udpNew + 2);
      expectCounts(await sweep(path), { entries: 2, removed: 0 }, 'an answered flow');
    });
  }

  at('a direction whose other one is lost goes by itself', async (scene) => {
    for (const lost of [0, 1]) {
      scene.expectAt(scene.home);
      const tuples = directions(scene);
      const [gone, left] = lost === 0 ? tuples : [...tuples].reverse();
      if (gone === undefined || left === undefined) throw new Error('no directions');
      assert.ok(path.forget(gone));
      put(left, { established: true }, idle + 2);
      const seen = await sweep(path);
      expectCounts(seen, { entries: 0, removed: 1, natPorts: 0 }, `without direction ${lost}`);
    }
  });

  if (combination.forwarding === 'nat')
    at('another service’s flow in the reply’s tuple keeps nobody else’s alive', async (scene) => {
      path.service({ ...scene.service, id: 4, address: scene.addresses.other });
      scene.expectAt(scene.home);
      put(scene.replyTuple(scene.home), { established: true }, idle + 10);
      // The second service takes the tuple over, which its first owner no longer uses.
      scene.expectAt(scene.home, scene.request({ destination: scene.addresses.other }));
      put(scene.tuple, { established: true }, idle + 10);
      expectCounts(await sweep(path), { entries: 2, removed: 1 }, 'the first flow goes');
      assert.is(path.flow(scene.tuple), null);
    });
}

for (const combination of combinations) {
  if (combination.forwarding !== 'dsr') continue;
  const { protocol } = combination;
  const at = (what: string, check: (scene: Scene) => Promise<void>): void => {
    needs.bpf(test)(`${combination.name}: ${what}`, async () => {
      await check(new Scene(path, combination));
    });
  };
  /** A flow that began before the slots changed, with its entry. */
  const contested = (scene: Scene): void => {
    scene.expectAt(scene.home);
    scene.send(2);
    scene.expectAt(scene.home);
    assert.is(path.flow(scene.tuple)?.member, 1, 'it has an entry');
  };

  at('an exception that differs from its slot stays and is counted', async (scene) => {
    contested(scene);
    expectCounts(await sweep(path), { entries: 1, removed: 0, exceptions: 1 }, 'named');
    scene.settle();
    expectCounts(await sweep(path), { entries: 1, removed: 0, exceptions: 1 }, 'settled');
    scene.expectAt(scene.home);
  });

  at('one that says what its slot says goes, once no former member is named', async (scene) => {
    contested(scene);
    path.table(3, new Array<number>(slots).fill(1));
    expectCounts(await sweep(path), { entries: 1, removed: 0, exceptions: 0 }, 'named');
    scene.settle();
    expectCounts(await sweep(path), { entries: 0, removed: 1, exceptions: 0 }, 'settled');
    assert.is(path.active('member', 1), 0, 'a flow without an entry is not counted');
    scene.expectAt(scene.home);
    assert.is(path.flow(scene.tuple), null, 'and needs none');
  });

  for (const [what, change] of [
    ['changed hands', { generation: 2 }],
    ['is free', { state: 'free' }],
  ] as const) {
    at(`one of a row that ${what} goes`, async (scene) => {
      contested(scene);
      scene.set(scene.home, change);
      expectCounts(await sweep(path), { entries: 0, removed: 1 }, what);
    });
  }

  at('one of a member that is down stays: it would come back to it', async (scene) => {
    contested(scene);
    scene.set(scene.home, { state: 'down' });
    expectCounts(await sweep(path), { entries: 1, removed: 0, exceptions: 1 }, 'down');
  });

  at('one of a pool without slots stays', async (scene) => {
    contested(scene);
    path.service({ ...scene.service, table: [] });
    expectCounts(await sweep(path), { entries: 1, removed: 0, exceptions: 0 }, 'no slots');
  });

  if (protocol === 'udp')
    at('no flow changes its member by a sweep', async (scene) => {
      scene.send(2);
      // New on a contested slot: its entry alone says that it is not the former member’s.
      scene.expectAt(scene.spare);
      path.age(scene.tuple, PATIENCE.udpNew + 10);
      await sweep(path);
      scene.expectAt(scene.spare);
      path.age(scene.tuple, PATIENCE.udpIdle + 2);
      expectCounts(await sweep(path), { entries: 0, removed: 1 }, 'idle for too long');
    });
}

needs.bpf(test)('a sweep of an empty table finds nothing', async () => {
  path.reset();
  assert.equal(await sweep(path), { entries: 0, removed: 0, exceptions: 0, natPorts: 0 });
});

needs.bpf(test)('a full table has room again after a sweep', async () => {
  const small = Datapath.open(512);
  try {
    const combination = combinations.find((one) => one.name === 'nat tcp ipv4');
    if (combination === undefined) throw new Error('no combination');
    const scene = new Scene(small, combination);
    const open = (port: number): Uint8Array =>
      frame(scene.request({ sourcePort: 2000 + port, flags: 'S' }));
    let begun = 0;
    for (let port = 0; port < 400; port++) if (small.run(open(port)).verdict === 'tx') begun++;
    expectDrop(small, open(401), 'FLOW_TABLE');
    for (let port = 0; port < 400; port++) {
      const request = scene.request({ sourcePort: 2000 + port });
      const reply = scene.answer(scene.home, { destinationPort: 2000 + port });
      for (const tuple of [request, reply]) if (small.flow(tuple) !== null) small.age(tuple, 4);
    }
    const seen = await sweep(small, { tcpOpen: 3, closed: 1 });
    assert.equal([seen.entries, seen.removed], [0, 2 * begun]);
    assert.is(small.active('member', 1), 0);
    assert.is(small.run(open(401)).verdict, 'tx');
  } finally {
    small.close();
  }
});

needs.bpf(test)('a slot without a past keeps no exception', async () => {
  const combination = combinations.find((one) => one.name === 'dsr tcp ipv4');
  if (combination === undefined) throw new Error('no combination');
  const scene = new Scene(path, combination);
  path.previous(3, slots, previousEntries);
  scene.expectAt(scene.home);
  assert.equal(await sweep(path), { entries: 0, removed: 0, exceptions: 0, natPorts: 0 });
});

test.run();
