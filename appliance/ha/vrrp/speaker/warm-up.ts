/**
 * Does once, before it matters, what a takeover does: code that runs for the first time takes
 * milliseconds, and the first takeover of a speaker is often the only one.
 *
 * Invariant: nothing leaves the unit, and nothing stays behind.
 */
import { VrrpEngine, type EnginePort, type Outgoing } from '../engine.js';
import { usualAnnouncements, type GroupSettings, type RouterSettings } from '../settings.js';
import type { HeldAddresses } from './addresses.js';
import type { Announcing } from './announcing.js';

const ROUNDS = 30;
const PLACINGS = 3;
const OWN = Uint8Array.of(127, 86, 82, 1);
const OTHER = Uint8Array.of(127, 86, 82, 2);

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
  otherAddresses: 'accept',
};

const group: GroupSettings = {
  name: 'warm-up',
  routers: [router],
  priority: 100,
  preempt: true,
  preemptDelay: 0,
  tracked: [],
};

export async function warmUp(addresses: HeldAddresses, announcing: Announcing): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) decide(round * 10_000);
  for (let round = 1; round <= PLACINGS; round += 1) {
    await addresses.hold([router]);
    announcing.send({ router, round });
    await addresses.hold([]);
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
