/**
 * The owner of the VRRP speaker in the daemon: starts it while there are virtual routers, tells it
 * what it is to do, hears what becomes of them, and begins anew when it dies.
 *
 * Invariants:
 * - While no speaker runs, this unit holds none of the shared addresses: a speaker that ends leaves
 *   none (SpeakerProcess), and the network tier does not place them (compile-pair.ts).
 * - What the speaker is told is what was compiled last; what is tracked is told before it.
 */
import type { FailoverResult, RouterLateness, RouterRow } from '../api/router-contract.js';
import type { Alarm, PairPath } from '../api/contract.js';
import { PortError } from '../api/port.js';
import { nearest, quote } from '../config/words.js';
import type { RouterStatus } from '../ha/vrrp/engine.js';
import { heartbeats } from '../ha/vrrp/paths/settings.js';
import type { Lateness } from '../ha/vrrp/speaker/lateness.js';
import type { FromSpeaker, GroupText, RouterText } from '../ha/vrrp/speaker/messages.js';
import type { SpeakerProcess, SpeakerProcessOptions } from '../ha/vrrp/speaker/speaker-process.js';
import type { Role } from '../ha/vrrp/virtual-router.js';
import type { EventLog } from '../telemetry/event-log.js';
import {
  failoverSubject,
  NO_PAIR,
  OTHER,
  type OtherUnit,
  type PairTables,
} from './compile-pair.js';
import { Failovers } from './failovers.js';
import type { PathsSource } from './heartbeat-paths.js';
import { PathStates } from './path-states.js';
import type { RolesPort } from './ports.js';

export type Speaker = Pick<
  SpeakerProcess,
  'configure' | 'track' | 'askStatus' | 'stop' | 'release'
>;
type Hears = Pick<SpeakerProcessOptions, 'onMessage' | 'onOutput' | 'onExit'>;

export interface RolesOptions {
  /** Null: this one is not paired. */
  readonly other: () => OtherUnit | null;
  /** Ways to the other unit's speaker; null: none is known. */
  readonly paths: () => PathsSource | null;
  readonly events: Pick<EventLog, 'append'>;
  readonly log: { info(text: string): void; warn(text: string): void };
  /** Throws SystemError when no process can be started. */
  readonly start: (hears: Hears) => Speaker;
  /** The speaker that an earlier daemon left; null: there is none. Throws SystemError. */
  readonly adopt: (hears: Hears) => Promise<Speaker | null>;
  /** What this unit was told to give up. Left out: remembered by this process alone. */
  readonly failovers?: Failovers;
}

interface Known {
  readonly role: Role;
  readonly why: string;
  readonly since: number;
}

/** After the first death, and at most. */
const BACK_OFF_MS = 200;
const LONGEST_BACK_OFF_MS = 10_000;
/** One that ran for so long did not die of what it was told. */
const SETTLED_MS = 30_000;
/** Nobody waits longer for a speaker that says nothing. */
const PATIENCE_MS = 2000;

export class Roles implements RolesPort {
  readonly #options: RolesOptions;
  #speaker: Speaker | null = null;
  #state: 'none' | 'starting' | 'running' | 'stopping' = 'none';
  #startedAt = 0;
  #backOff = BACK_OFF_MS;
  #retry: NodeJS.Timeout | null = null;
  #wanted: PairTables = NO_PAIR;
  /** What the speaker was told. */
  #told = '';
  readonly #tracked = new Map<string, boolean>();
  readonly #failovers: Failovers;
  readonly #known = new Map<string, Known>();
  readonly #problems = new Map<string, { readonly message: string; readonly since: number }>();
  #status: ReadonlyMap<string, RouterStatus> = new Map();
  #parts: RouterStatus[] = [];
  #lateness: RouterLateness | null = null;
  /** Called with whatever happens. */
  readonly #waiting = new Set<() => void>();
  /** Complete answers to questions for the status. */
  #answered = 0;
  readonly #hears: Hears = {
    onMessage: (message) => this.#hear(message),
    onOutput: (line) => this.#options.log.warn(`VRRP speaker: ${line}`),
    onExit: (how, left) => this.#gone(how, left),
  };
  readonly #paths: PathStates;
  #closed = false;

  constructor(options: RolesOptions) {
    this.#options = options;
    this.#failovers = options.failovers ?? new Failovers();
    this.#paths = new PathStates({
      ...{ source: options.paths, events: options.events },
      peer: () => options.other()?.name ?? null,
    });
  }

  other(): OtherUnit | null {
    return this.#options.other();
  }

  /** Takes up the speaker that an earlier daemon left, with what it holds. Before anything else. */
  async begin(): Promise<void> {
    const left = await this.#options.adopt(this.#hears);
    if (left === null) return;
    this.#speaker = left;
    this.#state = 'starting';
    this.#startedAt = performance.now();
  }

  /** Before the network gives up what the speaker is to hold: waits until there is one. */
  async prepare({ groups }: PairTables): Promise<void> {
    if (groups.length === 0 || this.#closed || this.#retry !== null) return;
    if (this.#state === 'none') this.#start();
    await this.#until(() => this.#state === 'running' || this.#retry !== null);
  }

  follow(pair: PairTables): void {
    this.#wanted = pair;
    if (this.#closed) return;
    const names = pair.groups.map(({ name }) => name);
    try {
      this.#failovers.follow(names, this.other() !== null);
    } catch (error) {
      // Tried again with the next change.
      this.#options.log.warn(`failovers cannot be kept: ${String(error)}`);
    }
    for (const name of names) this.track(failoverSubject(name), !this.#failovers.has(name));
    if (pair.groups.length > 0) {
      if (this.#state === 'none' && this.#retry === null) this.#start();
      else this.#tell();
      return;
    }
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#problems.clear();
    if (this.#state === 'starting' || this.#state === 'running') this.#stop();
  }

  /** Something that is tracked is well, or is not. */
  track(name: string, well: boolean): void {
    if ((this.#tracked.get(name) ?? true) === well) return;
    this.#tracked.set(name, well);
    if (this.#state === 'running') this.#speaker?.track(name, well);
  }

  /** Ways to the other unit's speaker are others than before. */
  pathsChanged(): void {
    this.#tell();
  }

  /** How each of them is. */
  paths(): PairPath[] {
    return this.#paths.rows();
  }

  /** One row for each virtual router, with figures as of now. */
  async rows(): Promise<RouterRow[]> {
    await this.#askStatus();
    return this.#rows();
  }

  /** What the status of the unit says of them, from memory. */
  get summary(): { readonly master: number; readonly backup: number; readonly down: number } {
    const count = { master: 0, backup: 0, down: 0 };
    for (const { role } of this.#rows()) count[role] += 1;
    return count;
  }

  /** Groups that this unit was told to give up. */
  get failovers(): readonly string[] {
    const names = this.#wanted.groups.map(({ name }) => name);
    return names.filter((name) => this.#failovers.has(name));
  }

  alarms(): Alarm[] {
    return [...this.#problems].map(([object, { message, since }]) => ({
      code: 'virtual-router',
      severity: 'error',
      message,
      since,
      object,
    }));
  }

  /**
   * Gives up what these hold and stays a backup (`cancel`: no longer), as long as another unit is
   * there. `router`: its name or its group's; null: all. Answers when others have taken over, or
   * nobody did in time. Throws PortError: not-found, conflict, unavailable.
   */
  async failover(request: {
    readonly router: string | null;
    readonly cancel: boolean;
    readonly author: string;
  }): Promise<FailoverResult> {
    const groups = this.#groupsOf(request.router);
    this.#mustRun();
    this.#keepFailover(groups, request);
    for (const { name } of groups) this.track(failoverSubject(name), request.cancel);
    const names = groups.map(({ name }) => name).join(', ');
    this.#options.events.append({
      kind: 'role-changed',
      severity: 'info',
      message: `${request.author}: ${request.cancel ? 'ended the failover of' : 'failover of'} ${names}`,
      subject: { author: request.author },
    });
    const routers = new Set(groups.flatMap((group) => group.routers.map(({ name }) => name)));
    if (!request.cancel) {
      const slowest = Math.max(
        ...groups.flatMap((group) => group.routers.map(({ interval }) => interval)),
      );
      // A backup takes over when it heard nobody better for about four intervals.
      await this.#until(
        () => [...routers].every((name) => this.#known.get(name)?.role !== 'master'),
        PATIENCE_MS + 5 * slowest,
      );
    }
    const rows = (await this.rows()).filter(({ router }) => routers.has(router));
    // It may have ended meanwhile.
    this.#mustRun();
    return {
      routers: rows,
      remaining: request.cancel
        ? []
        : rows.filter(({ role }) => role === 'master').map(({ router }) => router),
    };
  }

  /**
   * Leaves the speaker to the next daemon, which finds it holding what it holds; without one it gives
   * everything up after a while.
   */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    if (this.#state === 'stopping') await this.#until(() => this.#state === 'none');
    this.#speaker?.release();
    this.#speaker = null;
    this.#state = 'none';
    this.#wake();
  }

  #keepFailover(
    groups: readonly GroupText[],
    { router, cancel }: { readonly router: string | null; readonly cancel: boolean },
  ): void {
    const meant = groups.map(({ name }) => name);
    const others = this.#wanted.groups
      .map(({ name }) => name)
      .filter((name) => !meant.includes(name));
    try {
      if (cancel) this.#failovers.remove(meant, others);
      else this.#failovers.add(meant, router === null);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new PortError(
        'unavailable',
        `It cannot be kept for the next start of the daemon (${why}), so nothing was done: make room for it in the state directory.`,
        { cause },
      );
    }
  }

  #mustRun(): void {
    if (this.#state === 'running') return;
    throw new PortError(
      'unavailable',
      'The VRRP speaker does not run just now, so this unit holds no shared address: try again.',
    );
  }

  #groupsOf(router: string | null): readonly GroupText[] {
    const { groups } = this.#wanted;
    if (groups.length === 0) {
      throw new PortError(
        'conflict',
        'This unit has no virtual routers: pair it (weir pair), or write pair.virtual-routers.',
      );
    }
    if (router === null) return groups;
    const found = groups.filter(
      ({ name, routers }) => name === router || routers.some((one) => one.name === router),
    );
    if (found.length > 0) return found;
    const names = groups.flatMap(({ name, routers }) => [name, ...routers.map((one) => one.name)]);
    const near = nearest(router, names);
    throw new PortError(
      'not-found',
      `There is no virtual router ${quote(router)}${near === undefined ? '' : ` (did you mean ${quote(near)}?)`}: weir show routers lists them.`,
    );
  }

  #start(): void {
    this.#state = 'starting';
    this.#startedAt = performance.now();
    this.#told = '';
    try {
      this.#speaker = this.#options.start(this.#hears);
    } catch (error) {
      this.#gone(error instanceof Error ? error.message : String(error), 0);
    }
  }

  #stop(): void {
    this.#state = 'stopping';
    this.#speaker?.stop();
  }

  #hear(message: FromSpeaker): void {
    switch (message.kind) {
      case 'loaded':
        for (const wish of message.wishes) this.#options.log.info(`VRRP speaker: ${wish}`);
        if (this.#state === 'starting') this.#state = 'running';
        this.#problems.delete('speaker');
        this.#tell();
        break;
      case 'configured':
        this.#problems.delete('settings');
        break;
      case 'refused':
        this.#problem('settings', `The VRRP speaker refuses its settings: ${message.reason}`);
        break;
      case 'role':
        this.#changed(message.router, message.role, message.why);
        break;
      case 'problem':
        this.#problem(message.subject, message.message);
        break;
      case 'status':
        this.#parts.push(...message.routers);
        if (!message.last) break;
        this.#status = new Map(this.#parts.map((row) => [row.router, row]));
        this.#parts = [];
        this.#lateness = latenessOf(message.lateness);
        this.#answered += 1;
        break;
      case 'late':
        this.#options.log.warn(
          `VRRP: the speaker was ${message.late.toFixed(1)} ms late (${message.part}), ${message.left.toFixed(1)} ms of its lease were left`,
        );
        break;
      case 'paths':
        this.#paths.hear(message.paths);
        break;
      case 'alive':
        break;
    }
    this.#wake();
  }

  #tell(): void {
    const { groups } = this.#wanted;
    if (this.#state !== 'running' || this.#speaker === null || groups.length === 0) return;
    const source = this.#options.paths();
    const intervals = groups.flatMap(({ routers }) => routers.map(({ interval }) => interval));
    const paths = source && { ...source, ...heartbeats(Math.min(...intervals)) };
    const text = JSON.stringify([groups, paths]);
    if (text === this.#told) return;
    this.#told = text;
    const names = new Set(groups.flatMap(({ tracked }) => tracked.map(({ name }) => name)));
    for (const name of names) this.#speaker.track(name, this.#tracked.get(name) ?? true);
    this.#speaker.configure(groups, paths);
  }

  #changed(router: string, role: Role, why: string): void {
    const before = this.#known.get(router)?.role ?? 'down';
    this.#known.set(router, { role, why, since: Date.now() });
    const configured = this.#router(router) !== undefined;
    const fell = role === 'down' && configured && this.#state === 'running';
    // That traffic moved is worth a look, however well it went.
    const moved = before === 'backup' && role === 'master';
    this.#options.events.append({
      kind: 'role-changed',
      severity: fell || moved ? 'warning' : 'info',
      message: `virtual router ${router} is ${role}: ${why}`,
      subject: { router, before, after: role },
    });
    if (role === 'down' && !configured) this.#known.delete(router);
  }

  #router(name: string): RouterText | undefined {
    return this.#wanted.groups
      .flatMap(({ routers }) => routers)
      .find((router) => router.name === name);
  }

  #problem(subject: string, message: string | null): void {
    if (message === null) this.#problems.delete(subject);
    else {
      this.#problems.set(subject, { message, since: Date.now() });
      this.#options.log.warn(`VRRP: ${message}`);
    }
  }

  #gone(how: string, left: number): void {
    const asked = this.#state === 'stopping';
    this.#state = 'none';
    this.#speaker = null;
    this.#problems.clear();
    this.#parts = [];
    this.#status = new Map();
    this.#paths.forget();
    this.#lateness = null;
    for (const [router, { role }] of [...this.#known]) {
      if (role !== 'down') this.#changed(router, 'down', 'the VRRP speaker ended');
    }
    this.#known.clear();
    if (!asked && !this.#closed) {
      if (performance.now() - this.#startedAt > SETTLED_MS) this.#backOff = BACK_OFF_MS;
      const message = `the VRRP speaker ended (${how}), so this unit holds none of the shared addresses; it is started again in ${this.#backOff} ms`;
      this.#problem('speaker', message);
      this.#options.events.append({
        kind: 'role-changed',
        severity: 'error',
        message: left === 0 ? message : `${message}; ${left} addresses were taken off after it`,
      });
      this.#retry = setTimeout(() => {
        this.#retry = null;
        if (this.#wanted.groups.length > 0 && this.#state === 'none') this.#start();
      }, this.#backOff);
      this.#backOff = Math.min(2 * this.#backOff, LONGEST_BACK_OFF_MS);
    } else if (!this.#closed && this.#wanted.groups.length > 0) this.#start();
    this.#wake();
  }

  /** Why a unit that would be in front is not. */
  #awaits(group: GroupText, role: Role | undefined): string {
    const waits = this.#wanted.awaitsFlows && role === 'backup' && group.priority > OTHER;
    return waits ? '; it waits until it knows all flows of the other unit' : '';
  }

  #rows(): RouterRow[] {
    return this.#wanted.groups.flatMap((group) =>
      group.routers.map((router): RouterRow => {
        const known = this.#known.get(router.name);
        const status = this.#status.get(router.name);
        return {
          router: router.name,
          group: group.name,
          interface: router.interface,
          family: router.family,
          id: router.vrid,
          role: known?.role ?? 'down',
          priority: status?.priority ?? null,
          configuredPriority: group.priority,
          since: known?.since ?? null,
          why: (known?.why ?? 'no VRRP speaker runs') + this.#awaits(group, known?.role),
          addresses: router.addresses,
          master: status?.master ?? null,
          failover: this.#failovers.has(group.name),
          unwell: group.tracked
            .map(({ name }) => name)
            .filter(
              (name) => name !== failoverSubject(group.name) && this.#tracked.get(name) === false,
            ),
          sent: status?.sent ?? 0,
          received: status?.received ?? 0,
          takeovers: status?.takeovers ?? 0,
          lateness: this.#lateness,
        };
      }),
    );
  }

  async #askStatus(): Promise<void> {
    if (this.#state !== 'running') return;
    const before = this.#answered;
    this.#speaker?.askStatus();
    await this.#until(() => this.#answered > before || this.#state !== 'running');
  }

  #until(reached: () => boolean, patience = PATIENCE_MS): Promise<void> {
    if (reached()) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(deadline);
        this.#waiting.delete(look);
        resolve();
      };
      const look = (): void => {
        if (reached()) done();
      };
      const deadline = setTimeout(done, patience);
      this.#waiting.add(look);
    });
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }
}

function latenessOf({ turns, worst, leastLease }: Lateness): RouterLateness {
  return {
    ...{ turns, leastLease },
    worst: worst === null ? null : { late: worst.late, part: worst.part, at: worst.at },
  };
}
