/**
 * Watches one speaker from outside. When it has ended without giving its addresses up, or its lease
 * has run out (lease.ts), it is killed, so that it cannot go on and hold them again, and its
 * addresses are taken off the unit; then others are told, so that they need not wait.
 *
 * Invariants:
 * - Addresses are taken off before anything is said.
 * - A speaker whose CPU stood still (a host that runs something else), or that is just about to go
 *   on, is let run once more first; and so it is by a guard that was itself held up, which knows
 *   nothing about it. Once, and briefly: others may take over meanwhile.
 */
import { visitCpu } from '../../../../native/ffi/affinity.js';
import { drainEventfd, SystemError } from '../../../../native/ffi/libc.js';
import { NetlinkSocket } from '../../../../native/ffi/netlink.js';
import { doingOf, signalProcess } from '../../../../native/ffi/pidfd.js';
import { sendFrame } from '../../../../native/ffi/packet-socket.js';
import { Poller } from '../../../../native/ffi/poller.js';
import { RawSocket } from '../../../../native/ffi/raw-socket.js';
import { monotonicNow, Timer } from '../../../../native/ffi/timer.js';
import { TRAFFIC_CLASS, VRRP_HOP_LIMIT, VRRP_PROTOCOL, vrrpGroups } from '../packet.js';
import { advertisementFrame } from '../virtual-mac.js';
import { takeOffHeldAddresses } from './addresses.js';
import type { Farewell, Lease } from './lease.js';

/** Between two looks at a speaker that holds nothing; how the speaker knows that its guard lives. */
export const GUARD_LOOKS_MS = 500;
/** Later than that it was held up itself, and the time that its speaker then has to go on. */
const LATE_MS = 5;
const GRACE_MS = 20;
const SIGKILL = 9;

export class Guard {
  readonly #lease: Lease;
  readonly #speaker: number;
  readonly #called: number;
  /** Of the speaker, whose child this process is. */
  readonly #pid = process.ppid;
  readonly #poller = new Poller();
  readonly #timer = new Timer();
  readonly #netlink: NetlinkSocket;
  #wakeAt = 0;
  #graceUntil = 0;
  #ending = false;
  #end: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;

  /**
   * `speaker`: its pidfd. `called`: an eventfd, by which the speaker says that its lease is sooner
   * than it was. Throws SystemError.
   */
  constructor(lease: Lease, speaker: number, called: number) {
    this.#lease = lease;
    this.#speaker = speaker;
    this.#called = called;
    this.#netlink = NetlinkSocket.open({ poller: this.#poller });
  }

  /** Resolves when the speaker is no more and holds nothing. `ready` is called once it watches. */
  async run(ready: () => void): Promise<void> {
    this.#poller.ref();
    // Everything that will be needed in a hurry has been run once.
    await takeOffHeldAddresses(this.#netlink, () => false);
    this.#heldUp(monotonicNow());
    const ended = new Promise<void>((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    this.#poller.add(this.#speaker, () => this.#cleanUp());
    this.#poller.add(this.#timer.fd, () => {
      this.#timer.rest();
      this.#look();
    });
    this.#poller.add(this.#called, () => {
      drainEventfd(this.#called);
      this.#look();
    });
    this.#wakeAt = monotonicNow();
    this.#look();
    ready();
    await ended;
    this.#netlink.close();
    this.#poller.close();
    this.#timer.close();
  }

  #look(): void {
    if (this.#ending) return;
    const now = monotonicNow();
    const { until } = this.#lease;
    this.#lease.seen = now;
    if (now < until) {
      this.#graceUntil = 0;
      this.#sleep(Math.min(until, now + GUARD_LOOKS_MS));
      return;
    }
    if (this.#graceUntil === 0 && (now - this.#wakeAt > LATE_MS || this.#heldUp(now))) {
      this.#graceUntil = monotonicNow() + GRACE_MS;
    }
    if (now < this.#graceUntil) this.#sleep(this.#graceUntil);
    else this.#endSpeaker();
  }

  /**
   * Whether the speaker would go on if it got its CPU. A visit there shows whether that runs at all,
   * and lets it take note of the timer that the speaker waits for. One that was stopped, or hangs in
   * the kernel, does not go on.
   */
  #heldUp(now: number): boolean {
    const doing = doingOf(this.#pid);
    if (doing === null || !['R', 'S'].includes(doing.state)) return false;
    if (!visitCpu(doing.cpu)) return false;
    return monotonicNow() - now > LATE_MS || doingOf(this.#pid)?.state === 'R';
  }

  #sleep(until: number): void {
    this.#wakeAt = until;
    this.#timer.set(until);
  }

  #endSpeaker(): void {
    signalProcess(this.#speaker, SIGKILL);
    // It runs no more, but its end is told only after its memory has been given back. What it had
    // asked of the kernel last may still come, and is taken off then.
    this.#takeOff().catch(this.#fail);
    this.#timer.set(Infinity);
  }

  #cleanUp(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#poller.remove(this.#speaker);
    this.#takeOff().then(this.#end, this.#fail);
  }

  async #takeOff(): Promise<void> {
    const held = this.#lease.until !== Infinity;
    await takeOffHeldAddresses(this.#netlink);
    if (!held) return;
    this.#lease.until = Infinity;
    for (const farewell of this.#lease.farewells) sendFarewell(farewell);
  }
}

/** Nobody else can be told of one that cannot be sent, and others find out by themselves. */
function sendFarewell({
  interface: on,
  family,
  mac,
  source,
  destination,
  message,
}: Farewell): void {
  try {
    if (mac !== null) {
      sendFrame(on.index, advertisementFrame(mac, family, { source, destination }, message));
      return;
    }
    const socket = new RawSocket({
      family,
      protocol: VRRP_PROTOCOL,
      interface: on,
      group: vrrpGroups[family],
      hopLimit: VRRP_HOP_LIMIT,
      trafficClass: TRAFFIC_CLASS,
    });
    try {
      socket.send(message, source, destination);
    } finally {
      socket.close();
    }
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    process.stderr.write(`guard: cannot say that ${on.name} was given up: ${error.message}\n`);
  }
}
