/**
 * Who is not meant at the port of a pair, with both daemons: the test itself is in member-1's
 * namespace, on the LAN of the units.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EventRow, PairInvited, PairView } from '../../appliance/api/contract.js';
import { formatCode, makeSecret } from '../../appliance/ha/pair/code.js';
import { dial } from '../../appliance/ha/pair/dial.js';
import { encodeFrame } from '../../appliance/ha/pair/frames.js';
import { encodeJson } from '../../appliance/ha/pair/messages.js';
import { PAIR_PORT } from '../../appliance/ha/ports.js';
import { joinNetworkNamespace } from '../../native/ffi/namespace.js';
import { needs } from '../support/needs.js';
import { identityIn, Middle } from '../support/pair-strangers.js';
import { PairUnit } from '../support/two-units.js';
import { PairLab } from './pair-lab.js';
import { addressOf, type UnitName } from './topology.js';
import { until, type Unit } from './unit.js';

const test = suite('pair: strangers');
const target = addressOf('unit-a', 4);
const ours = addressOf('member-1', 4);

function onTheLan(work: (lab: PairLab) => Promise<void>): Promise<void> {
  return PairLab.run({}, async (lab) => {
    const leave = joinNetworkNamespace(`/run/netns/${lab.topology.namespace('member-1')}`);
    try {
      await work(lab);
    } finally {
      leave();
    }
  });
}

const viewOf = (unit: Unit): Promise<PairView> => unit.get<PairView>('/v1/pair');

async function eventsOf(unit: Unit): Promise<string[]> {
  const events = await unit.get<EventRow[]>('/v1/events?kind=pair&limit=1000');
  return events.map(({ message }) => message);
}

needs.lab(test)('one in the middle with a key of its own gets neither unit', () =>
  onTheLan(async (lab) => {
    const invited = await lab.a.must('pair', 'invite', target, '--json');
    const { code } = JSON.parse(invited) as PairInvited;
    const middle = new Middle();
    try {
      await middle.open([ours, PAIR_PORT], [target, PAIR_PORT]);
      const answer = await lab.b.weir('pair', 'join', code, ours);
      assert.is(answer.status, 5, answer.stderr);
      assert.match(answer.stderr, /code is wrong/);
    } finally {
      middle.close();
    }
    assert.ok(middle.passed > 150, `${middle.passed} octets went through the middle`);
    for (const unit of [lab.a, lab.b]) assert.is((await viewOf(unit)).peer, null, unit.name);
    assert.is((await viewOf(lab.a)).refused['wrongCode'], 1);
    const events = await eventsOf(lab.a);
    assert.ok(
      events.some((message) => message.startsWith(`${ours} tried to pair with a wrong code`)),
      events.join('; '),
    );
    await lab.b.must('pair', 'join', code, target);
    await lab.untilLinks(1);
  }),
);

/** Resident memory of a unit's daemon, in bytes. */
function memoryOf(lab: PairLab, unit: UnitName): number {
  const pids = lab.processes(unit).filter((pid) => {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.includes('daemon') && words.some((word) => word.endsWith('/weir.js'));
  });
  assert.is(pids.length, 1, `daemons of ${unit}: ${pids.join(' ')}`);
  const status = readFileSync(`/proc/${String(pids[0])}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

/** What is sent without a handshake. */
const noise: Readonly<Record<string, Buffer>> = {
  'random octets': randomBytes(1 << 20),
  'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: unit-a\r\n\r\n'),
  'an alert': Buffer.from('15030100020228', 'hex'),
  'a record that is too long': Buffer.concat([
    Buffer.from('160301ffff', 'hex'),
    randomBytes(65535),
  ]),
};

needs.lab(test)('whatever strangers send, the links and the daemon stay as they are', () =>
  onTheLan(async (lab) => {
    await lab.pair();
    const c = new PairUnit('unit-c', PAIR_PORT);
    try {
      const refused = async (): Promise<number> => (await viewOf(lab.a)).refused['foreign'] ?? 0;
      const code = formatCode(makeSecret());
      await assertRefused(c.pair.join(code, target), /no invitation open/);
      assert.is(await refused(), 1, 'a third unit');

      let sent = 1;
      for (const [what, octets] of Object.entries(noise)) {
        const socket = connect(PAIR_PORT, target);
        socket.on('error', () => undefined);
        socket.resume().write(octets);
        await closed(socket);
        sent += 1;
        await until(`${what} is counted`, 10_000, async () => {
          const count = await refused();
          return count === sent || `foreign ${count}, expected ${sent}`;
        });
      }

      const { context } = await identityIn(c.folder);
      const begun = memoryOf(lab, 'unit-a');
      for (let round = 0; round < 100; round += 1) {
        const socket = await dial(target, PAIR_PORT, context);
        socket.on('error', () => undefined);
        socket.resume().write(frames[round % frames.length] ?? '');
        await closed(socket);
      }
      await until('all of them are counted', 10_000, async () => {
        const count = await refused();
        return count === sent + 100 || `foreign ${count}, expected ${sent + 100}`;
      });
      const grown = memoryOf(lab, 'unit-a') - begun;
      assert.ok(grown < 64 << 20, `the daemon has grown by ${grown} octets`);
    } finally {
      c.close();
    }
    assert.is((await viewOf(lab.a)).refused['malformed'], 0, 'a stranger is heard no further');
    for (const unit of [lab.a, lab.b]) {
      const events = await eventsOf(unit);
      const lost = events.filter((message) => /is down|not heard/.test(message));
      assert.equal(lost, [], `${unit.name} lost nothing`);
    }
  }),
);

const hello = encodeJson({ version: 1, received: { epoch: 0, message: 0 } });
/** After a handshake with a key that is not the other unit's. */
const frames: readonly Buffer[] = [
  encodeFrame({ type: 'hello', payload: hello, number: 1, epoch: Date.now() }),
  encodeFrame({ type: 'bye', payload: Buffer.alloc(0), number: 1, epoch: Date.now() }),
  Buffer.from('7fffffff', 'hex'),
  randomBytes(1 << 18),
];

async function assertRefused(promise: Promise<unknown>, why: RegExp): Promise<void> {
  let said = 'it was taken';
  try {
    await promise;
  } catch (error) {
    said = String(error);
  }
  assert.match(said, why);
}

/**
 * Holds many connections that never finish their handshakes, an octet at a time, and opens each anew as
 * soon as the unit ends it.
 */
class Crowd {
  readonly #sockets = new Set<Socket>();
  #over = false;
  /** How many were ended by the unit. */
  ended = 0;

  constructor(size: number) {
    for (let one = 0; one < size; one += 1) this.#open();
  }

  #open(): void {
    const socket: Socket | TLSSocket = connect(PAIR_PORT, target);
    this.#sockets.add(socket);
    // The head of a ClientHello of 512 octets, which do not come.
    const drip = setInterval(() => socket.write(Buffer.of(1)), 200);
    socket.once('connect', () => socket.write(Buffer.from('1603010200', 'hex')));
    socket.on('error', () => undefined);
    socket.resume().once('close', () => {
      clearInterval(drip);
      this.#sockets.delete(socket);
      this.ended += 1;
      if (!this.#over) this.#open();
    });
  }

  close(): void {
    this.#over = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

needs.lab(test)(
  'a crowd that never finishes its handshakes keeps the other unit out of nothing',
  () =>
    onTheLan(async (lab) => {
      await lab.pair();
      const begun = memoryOf(lab, 'unit-a');
      const crowd = new Crowd(200);
      try {
        await until('the unit has ended many', 30_000, async () =>
          crowd.ended > 1000 ? true : `${crowd.ended}`,
        );
        const view = await viewOf(lab.a);
        assert.equal(
          view.links.map(({ up }) => up),
          [true, true],
          JSON.stringify(view.links),
        );
        await lab.b.end('SIGKILL');
        await lab.b.start();
        await lab.untilLinks(2);
        const grown = memoryOf(lab, 'unit-a') - begun;
        assert.ok(grown < 128 << 20, `the daemon has grown by ${grown} octets`);
      } finally {
        crowd.close();
      }
    }),
);

test.run();
