/**
 * The state machine of one virtual router: RFC 9568 §6 (RFC 3768 §6 for version 2). Pure: the clock
 * is given, and what it wants goes to a port. Milliseconds of a clock that only goes forward.
 *
 * It keeps to the RFC, with these additions:
 * - A backup whose timer ran out is `silent`; its group (group.ts) says when it takes over.
 * - A timer says nothing about the master while nobody listened: the time that a backup stood still
 *   does not count, and one that wakes later than an interval after its time waits once more before
 *   it is silent.
 * - A master that yields to a stronger one says farewell: an advertisement of the least priority,
 *   and another one an interval later. So the stronger one, which may have won before it ever heard
 *   this one (a network that was in two parts), knows that hosts were told otherwise, and announces
 *   its addresses again. Of the least priority, because nobody shall take it for a master's.
 * - A master that becomes weaker than it was is replaced at once, with Preempt_Mode false too: the
 *   delay and the mode are for backups that begin (RFC 9568 §6.1).
 * - A master that was late for as long as others wait announces its addresses again too.
 *
 * Invariant: whoever calls has handed over every message that has come before it says that time has
 * passed (engine.ts).
 */
import { same } from './acceptance.js';
import {
  FAREWELL_PRIORITY,
  OWNER_PRIORITY,
  RELEASE_PRIORITY,
  type Advertisement,
} from './packet.js';
import type { RouterSettings } from './settings.js';
import { masterDownInterval, skewTime, waitHeldUp } from './timing.js';

/** Initialize, Backup and Active of RFC 9568 §6.4; `down` also while something is at fault. */
export type Role = 'down' | 'backup' | 'master';

export interface RouterPort {
  /** Sends an advertisement of this priority. */
  send(priority: number): void;
  /** Sends one of its own priority when everything that has come was heard: once, however often asked. */
  assert(): void;
  /** `why`: a sentence's end for people. */
  became(role: Role, why: string, now: number): void;
  /** Somebody else may have announced the addresses that it holds. */
  contested(now: number): void;
  /** Somebody else who may have announced them has just given them up. */
  vacated(now: number): void;
  /** Whether a weaker master of this priority may be replaced now. `sank`: it was stronger when it was last heard. */
  mayPreempt(now: number, priority: number, sank: boolean): boolean;
  /** A master was heard that is left alone. */
  content(): void;
}

/** Of those who may be backups: waits the shortest. */
const STRONGEST = OWNER_PRIORITY - 1;

export class VirtualRouter {
  settings: RouterSettings;
  readonly #port: RouterPort;
  #role: Role = 'down';
  #priority: number;
  /** Active_Adver_Interval (RFC 9568 §6.1). */
  #masterInterval: number;
  /** As backup, of the master that was heard last; 0: none was. */
  #masterPriority = 0;
  /** Adver_Timer as master, Active_Down_Timer as backup. */
  #timer = Infinity;
  #farewellAt = Infinity;
  #waitedOnceMore = false;
  #heardAt = -Infinity;
  #silent = false;
  #yielded = false;

  constructor(settings: RouterSettings, priority: number, port: RouterPort) {
    this.settings = settings;
    this.#priority = priority;
    this.#port = port;
    this.#masterInterval = settings.interval;
  }

  get role(): Role {
    return this.#role;
  }

  get priority(): number {
    return this.#priority;
  }

  /** As backup: no master was heard for so long that this one should be it. */
  get silent(): boolean {
    return this.#silent;
  }

  /** When a master was last heard. */
  get heardAt(): number {
    return this.#heardAt;
  }

  get masterInterval(): number {
    return this.#masterInterval;
  }

  /** When it wants to be told that time has passed. */
  get deadline(): number {
    return Math.min(this.#timer, this.#farewellAt);
  }

  /** As master: others take over no sooner, if nothing more is sent. Else Infinity. */
  get leasedUntil(): number {
    const { version, interval } = this.settings;
    if (this.#role !== 'master') return Infinity;
    return this.#timer - interval + masterDownInterval(version, STRONGEST, interval);
  }

  /** RFC 9568 §6.4.1. `own`: it owns the addresses, so there is nobody to wait for. */
  start(now: number, own: boolean): void {
    this.#masterInterval = this.settings.interval;
    this.#role = 'backup';
    this.#masterPriority = 0;
    this.#port.became('backup', 'it begins', now);
    if (own) {
      this.#silent = true;
      this.#timer = Infinity;
    } else this.#wait(now);
  }

  /** Shutdown of RFC 9568 §6.4.2 and §6.4.3. */
  stop(now: number, why: string): void {
    if (this.#role === 'down') return;
    if (this.#role === 'master') this.#port.send(RELEASE_PRIORITY);
    this.#role = 'down';
    this.#timer = Infinity;
    this.#farewellAt = Infinity;
    this.#silent = false;
    this.#yielded = false;
    this.#port.became('down', why, now);
  }

  /** As backup: there is no master any more, which is known without waiting. */
  vacant(): void {
    if (this.#role !== 'backup') return;
    this.#silent = true;
    this.#timer = Infinity;
  }

  /** A backup becomes master. */
  take(now: number, why: string): void {
    this.#role = 'master';
    this.#silent = false;
    this.#farewellAt = Infinity;
    this.#waitedOnceMore = false;
    this.#port.send(this.#priority);
    this.#timer = now + this.settings.interval;
    this.#port.became('master', why, now);
  }

  /** A master becomes backup. `interval`: the stronger one's; null: it was not heard here. */
  yield(now: number, interval: number | null, why: string): void {
    this.#port.send(FAREWELL_PRIORITY);
    this.#role = 'backup';
    this.#masterPriority = 0;
    this.#yielded = true;
    this.#masterInterval = interval ?? this.settings.interval;
    this.#farewellAt = now + this.settings.interval;
    this.#wait(now);
    this.#port.became('backup', why, now);
  }

  /** Whether it has yielded since the last time that this was asked. */
  takeYielded(): boolean {
    const yielded = this.#yielded;
    this.#yielded = false;
    return yielded;
  }

  /** Takes effect with the next advertisement and the next wait, as for every priority of the RFC. */
  setPriority(priority: number): void {
    this.#priority = priority;
  }

  /** Same router, other settings. A shorter interval holds at once. */
  setSettings(settings: RouterSettings, now: number): void {
    const { interval } = this.settings;
    this.settings = settings;
    if (interval === settings.interval) return;
    if (this.#role === 'master') this.#timer = Math.min(this.#timer, now + settings.interval);
    if (this.#role === 'backup' && settings.version === 2 && !this.#silent) {
      this.#masterInterval = settings.interval;
      this.#wait(now);
    }
  }

  /** An advertisement that counts (acceptance.ts). `own`: the source address of this router. */
  heard(advertisement: Advertisement, source: Uint8Array, own: Uint8Array, now: number): void {
    if (this.#role === 'backup') this.#heardAsBackup(advertisement, now);
    else if (this.#role === 'master') this.#heardAsMaster(advertisement, source, own, now);
  }

  #heardAsBackup({ priority, interval }: Advertisement, now: number): void {
    if (priority === RELEASE_PRIORITY) {
      if (this.#silent) return;
      this.#waitedOnceMore = false;
      this.#timer = now + skewTime(this.settings.version, this.#priority, this.#masterInterval);
      return;
    }
    this.#heardAt = now;
    const sank = priority < this.#masterPriority && priority !== FAREWELL_PRIORITY;
    this.#masterPriority = priority;
    if (priority < this.#priority && this.#port.mayPreempt(now, priority, sank)) return;
    if (priority >= this.#priority) this.#port.content();
    this.#masterInterval = interval;
    this.#wait(now);
  }

  #heardAsMaster(
    { priority, interval }: Advertisement,
    source: Uint8Array,
    own: Uint8Array,
    now: number,
  ): void {
    if (priority === RELEASE_PRIORITY) {
      this.#port.assert();
      this.#port.vacated(now);
      this.#timer = now + this.settings.interval;
      return;
    }
    const stronger =
      priority > this.#priority ||
      (priority === this.#priority && !same(source, own) && Buffer.compare(source, own) > 0);
    if (stronger) {
      this.yield(now, interval, 'a stronger master was heard');
      return;
    }
    this.#port.assert();
    if (priority === FAREWELL_PRIORITY) this.#port.vacated(now);
    else this.#port.contested(now);
  }

  /** As waitHeldUp(). What came nevertheless is heard after this. */
  heldUp(still: number, now: number): void {
    if (this.#role !== 'backup' || this.#silent) return;
    this.#heardAt = Math.min(this.#heardAt + still, now);
    const interval = this.#masterInterval;
    const wait = { due: this.#timer, again: this.#waitedOnceMore };
    const held = waitHeldUp(wait, { still, now, interval, whole: this.#downInterval(interval) });
    this.#timer = held.due;
    this.#waitedOnceMore = held.again;
  }

  /** Acts on what is due. */
  elapse(now: number): void {
    if (now >= this.#farewellAt) {
      this.#farewellAt = Infinity;
      this.#port.send(FAREWELL_PRIORITY);
    }
    if (now < this.#timer) return;
    const late = now - this.#timer;
    if (this.#role === 'master') {
      this.#port.send(this.#priority);
      this.#timer = now + this.settings.interval;
      if (late >= this.#downInterval(this.settings.interval)) this.#port.contested(now);
      return;
    }
    if (late >= this.#masterInterval && !this.#waitedOnceMore) {
      this.#wait(now);
      this.#waitedOnceMore = true;
      return;
    }
    this.#silent = true;
    this.#timer = Infinity;
  }

  #wait(now: number): void {
    this.#silent = false;
    this.#waitedOnceMore = false;
    this.#timer = now + this.#downInterval(this.#masterInterval);
  }

  #downInterval(interval: number): number {
    return masterDownInterval(this.settings.version, this.#priority, interval);
  }
}
