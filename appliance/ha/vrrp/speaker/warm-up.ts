/**
 * Does once, before it matters, what a takeover does: code that runs for the first time takes
 * milliseconds, and the first takeover of a speaker is often the only one.
 *
 * Invariant: nothing leaves the unit, and nothing stays behind.
 */
import { randomBytes } from 'node:crypto';
import { VrrpEngine, type EnginePort, type Outgoing } from '../engine.js';
import { usualAnnouncements, type GroupSettings, type RouterSettings } from '../settings.js';
import { SystemError } from '../../../../native/ffi/libc.js';
import { Poller } from '../../../../native/ffi/poller.js';
import { monotonicNow } from '../../../../native/ffi/timer.js';
import { groupKey } from '../paths/heartbeat.js';
import type { HeldAddresses } from './addresses.js';
import type { Announcing } from './announcing.js';
import type { Interfaces } from './interfaces.js';
import { PairPaths } from './pair-paths.js';
import { Sockets } from './sockets.js';

const ROUNDS = 30;
const PLACINGS = 3;
const OWN = Uint8Array.of(127, 86, 82, 1);
const OTHER = Uint8Array.of(127, 86, 82, 2);
/** Of the loopback interface; one that is taken is no harm. */
const PORT = 9348;
const FIRST = { state: 'backup', priority: 100 } as const;
const REPORTS = [FIRST, { state: 'master', priority: 100 }] as const;

/** On the loopback interface, from where it is sent to nobody else. */
const router: RouterSettings = {
  name: 'warm-up',
  interface: 'lo',
  vrid: 1,
  family: 4,
  version: 3,
  interval: 10,
  addresses: [Uint8Array.of(127, 86, 82, 80)],
  checksum: 'message',
  password: null,
  peers: [],
  virtualMac: false,
  otherAddresses: 'accept',
};

const group: GroupSettings = {
  name: 'warm-up',
  routers: [router],
  priority: 100,
  preempt: 'weaker',
  preemptDelay: 0,
  tracked: [],
};

export async function warmUp(
  interfaces: Interfaces,
  addresses: HeldAddresses,
  announcing: Announcing,
): Promise<void> {
  exchange(interfaces);
  for (let round = 0; round < ROUNDS; round += 1) decide(round * 10_000);
  for (let round = 1; round <= PLACINGS; round += 1) {
    await addresses.hold([router]);
    announcing.send({ router, round });
    await addresses.hold([]);
  }
}

/** Two ends of a path that tell each other, and advertisements, by sockets as they will be. */
function exchange(interfaces: Interfaces): void {
  const poller = new Poller();
  // Where it cannot be rehearsed, it is only slower at first.
  const owner = { poller, interfaces, onReady: () => undefined, report: () => undefined };
  const sockets = new Sockets(owner);
  const key = randomBytes(32);
  const ends = [OWN, OTHER].map((local, index) => {
    const path = { name: 'warm-up', interface: 'lo', family: 4 as const, local };
    const end = new PairPaths(owner);
    end.configure({
      ...{ key, port: PORT, interval: 1, lost: 1000 },
      paths: [{ ...path, remote: index === 0 ? OTHER : OWN }],
    });
    return end;
  });
  try {
    sockets.want([{ name: 'lo', family: 4, link: interfaces.named('lo') }]);
    for (let round = 0; round < ROUNDS; round += 1) {
      const report = new Map([[groupKey(router.name), REPORTS[round % REPORTS.length] ?? FIRST]]);
      for (const end of ends) end.tell(report, monotonicNow() + round);
      for (const end of ends) end.drain(report, monotonicNow() + round);
      for (const end of ends) end.changes();
      sockets.send(router, { source: OWN, destination: OTHER }, Buffer.alloc(12));
      sockets.drain();
    }
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  } finally {
    for (const end of ends) end.close();
    sockets.close();
    poller.close();
  }
}

/** A life of an engine: backup, master, yields, takes over again, ends. */
function decide(from: number): void {
  const sent: Outgoing[] = [];
  const port: EnginePort = {
    transmit: (outgoing) => sent.push(outgoing),
    changed: () => undefined,
    announce: () => undefined,
  };
  const engine = new VrrpEngine(port, usualAnnouncements);
  engine.link('lo', { running: true, sources: { 4: OWN, 6: null } }, from);
  engine.configure([group], from);
  let now = from;
  for (let turn = 0; turn < 10; turn += 1) {
    now += 50;
    const [first] = sent;
    const arrivals =
      turn % 3 !== 2 || first === undefined
        ? []
        : [
            {
              interface: 'lo',
              family: 4 as const,
              source: OTHER,
              destination: first.ends.destination,
              hopLimit: 255,
              message: first.message,
            },
          ];
    engine.turn(now, arrivals);
    engine.report();
    engine.farewells();
  }
  engine.stop(now, 'it was a rehearsal');
}
