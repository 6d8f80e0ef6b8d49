/**
 * The guard as its speaker sees it: started, watched in turn, started again.
 *
 * Invariant: a guard that has ended or stands still is replaced, and until the next one watches
 * that is a problem that is told.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { eventfd, signalEventfd, SystemError } from '../../../../native/ffi/libc.js';
import { openProcess } from '../../../../native/ffi/pidfd.js';
import { monotonicNow } from '../../../../native/ffi/timer.js';
import { compiled } from '../../../paths.js';
import { GUARD_LOOKS_MS } from './guard.js';
import { Lease, type Farewell } from './lease.js';
import { REALTIME_NODE_OPTIONS } from './wishes.js';

const entry = compiled('appliance/ha/vrrp/speaker/guard-main.js');
/** Twice in a row unseen: after a pause of the whole unit its guard may just not have had its turn. */
const CHECK_MS = 4 * GUARD_LOOKS_MS;
const AGAIN_MS = 1000;

interface Options {
  readonly report: (message: string | null) => void;
  /** Another guard watches from now on; null: none does. */
  readonly onChange: (pid: number | null) => void;
}

export class GuardProcess {
  readonly #options: Options;
  readonly #lease = Lease.create();
  readonly #called = eventfd();
  readonly #self: number;
  #child: ChildProcess | null = null;
  #check: NodeJS.Timeout | null = null;
  #again: NodeJS.Timeout | null = null;
  #stood = false;
  #sooner = false;
  #closed = false;

  /** Throws SystemError. */
  constructor(options: Options) {
    this.#options = options;
    const self = openProcess(process.pid);
    if (self === null) throw new SystemError('pidfd_open', 3, 'this process');
    this.#self = self;
  }

  /** Resolves once a guard watches; without one, after it was told. */
  start(): Promise<void> {
    this.#check = setInterval(() => this.#look(), CHECK_MS).unref();
    return new Promise((resolve) => this.#spawn(resolve));
  }

  /**
   * Addresses are held until `moment` at most, unless this is said again. `call`: the guard is woken
   * where that is sooner than it looks by itself; else it finds it at its next look.
   */
  renew(moment: number, call: boolean): void {
    this.#sooner ||= moment < this.#lease.until;
    this.#lease.until = moment;
    if (!this.#sooner || !call) return;
    this.#sooner = false;
    signalEventfd(this.#called);
  }

  /** Until when addresses are held if nothing more is said. */
  get until(): number {
    return this.#lease.until;
  }

  set farewells(list: readonly Farewell[]) {
    this.#lease.farewells = list;
  }

  /** It ends with this process. */
  close(): void {
    this.#closed = true;
    if (this.#check !== null) clearInterval(this.#check);
    if (this.#again !== null) clearTimeout(this.#again);
  }

  #spawn(settled: () => void): void {
    const child = spawn(process.execPath, [...REALTIME_NODE_OPTIONS, entry], {
      stdio: ['ignore', 'pipe', 'inherit', this.#lease.fd, this.#self, this.#called],
      detached: true,
    });
    this.#child = child;
    let over = false;
    child.on('error', (error) => {
      if (child.pid === undefined) lost(`cannot be started: ${error.message}`);
    });
    child.once('exit', (code, signal) => {
      lost(signal === null ? `ended with status ${code ?? 0}` : `was ended by ${signal}`);
    });
    child.stdout?.on('error', () => undefined);
    child.stdout?.once('data', () => {
      if (over) return;
      this.#options.report(null);
      this.#options.onChange(child.pid ?? null);
      settled();
    });
    child.unref();
    const lost = (how: string): void => {
      if (over) return;
      over = true;
      this.#child = null;
      if (this.#closed) return;
      this.#options.report(`the guard of the speaker ${how}`);
      this.#options.onChange(null);
      this.#again = setTimeout(() => this.#spawn(settled), AGAIN_MS).unref();
      settled();
    };
  }

  #look(): void {
    const child = this.#child;
    const stands =
      child !== null && this.#lease.seen !== 0 && monotonicNow() - this.#lease.seen > CHECK_MS;
    if (stands && this.#stood) child.kill('SIGKILL');
    this.#stood = stands && !this.#stood;
  }
}
