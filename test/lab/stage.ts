/**
 * Where acts are played: a lab with clients at work on every service, and the judgement
 * of what those clients saw. Nothing that a client ever saw is left out: every window
 * between two marks belongs to one act.
 *
 * Invariant: a failed connection is a trouble unless a recorded death explains it.
 */
import type { LoadSettings } from './client-process.js';
import {
  describeReport,
  explainedBy,
  type Death,
  type Failure,
  type Load,
  type LoadReport,
} from './clients.js';
import type { Lab, ServiceTarget } from './lab.js';
import { describeShop, joinedReports, judgeShop, Shop, type ShopReport } from './shop.js';
import { memberNames, type MemberName } from './topology.js';

/** A window shorter than so many seconds may well be without an answer. */
const quiet = 1;

export type Reports = ReadonlyMap<string, LoadReport>;
export type Weights = Readonly<Record<MemberName, number>>;

/** What an act has to say besides what the clients saw. */
export interface Outcome {
  readonly notes?: readonly string[];
  readonly troubles?: readonly string[];
  /** Client ports of connections to the proxy that had to be lost. */
  readonly lost?: readonly number[];
}

export interface Act {
  readonly name: string;
  play(stage: Stage): Promise<Outcome>;
}

export interface Seen {
  readonly reports: Reports;
  readonly notes: readonly string[];
  /** What went wrong; an act without troubles has passed. */
  readonly troubles: readonly string[];
  /** Failures that the death of a member explains. */
  readonly explained: number;
}

/** Two windows of one client as one. */
function joined(first: LoadReport, second: LoadReport): LoadReport {
  const byMember = { ...first.byMember };
  for (const [member, count] of Object.entries(second.byMember)) {
    byMember[member] = (byMember[member] ?? 0) + count;
  }
  return {
    window: second.window,
    seconds: first.seconds + second.seconds,
    requests: first.requests + second.requests,
    connections: first.connections + second.connections,
    open: second.open,
    failed: first.failed + second.failed,
    repeated: first.repeated + second.repeated,
    failures: [...first.failures, ...second.failures],
    byMember,
    longestGap: Math.max(first.longestGap, second.longestGap),
    slowest: Math.max(first.slowest, second.slowest),
  };
}

export function joinedAll(first: Reports, second: Reports): Map<string, LoadReport> {
  const all = new Map(first);
  for (const [name, report] of second) {
    const before = all.get(name);
    all.set(name, before === undefined ? report : joined(before, report));
  }
  return all;
}

function describeFailure(service: string, failure: Failure): string {
  const on = failure.member === null ? 'before any answer' : `on ${failure.member}`;
  const times = `from port ${failure.port ?? 'none'}, begun ${clock(failure.began)}, failed ${clock(failure.time)}`;
  return `${service}: a ${failure.kind} connection failed ${on}: ${failure.reason} (${times})`;
}

/** Time of day to the millisecond (UTC), to be compared with a capture. */
function clock(time: number): string {
  return new Date(time).toISOString().slice(11, 23);
}

/** Pure, so that it can be tested that a lost connection is not overlooked. */
export function judge(
  reports: Reports,
  targets: readonly ServiceTarget[],
  deaths: readonly Death[],
  outcome: Outcome = {},
): Seen {
  const troubles = [...(outcome.troubles ?? [])];
  let explained = 0;
  for (const [service, report] of reports) {
    const target = targets.find(({ name }) => name === service);
    const bad = report.failures.filter(
      (failure) =>
        target === undefined || !deaths.some((death) => explainedBy(death, failure, target)),
    );
    explained += report.failures.length - bad.length;
    const unlisted = report.failed - report.failures.length;
    if (unlisted > 0) troubles.push(`${service}: ${unlisted} failures beyond those listed`);
    for (const failure of bad.slice(0, 5)) troubles.push(describeFailure(service, failure));
    if (bad.length > 5) troubles.push(`${service}: ${bad.length - 5} more failures`);
    // A machine that is short of CPU answers late; to a member that died they are as many as they are.
    const dying = report.failures.length > bad.length;
    if (!dying && report.repeated > 3 + report.requests / 10) {
      troubles.push(`${service}: ${report.repeated} of ${report.requests} datagrams sent again`);
    }
    if (report.requests === 0 && report.seconds >= quiet) {
      troubles.push(`${service}: no request was answered`);
    }
  }
  return { reports, notes: outcome.notes ?? [], troubles, explained };
}

function describeDeath({ member, from, to }: Death): string {
  return `${member} died ${clock(from)}; the last packet came there ${clock(to)}`;
}

/** Share of new connections that went to a member, over all given reports, from 0 to 1. */
export function share(reports: Reports, member: MemberName): number {
  let all = 0;
  let its = 0;
  for (const report of reports.values()) {
    for (const [name, count] of Object.entries(report.byMember)) {
      all += count;
      if (name === member) its += count;
    }
  }
  return all === 0 ? 0 : its / all;
}

export function describeShares(reports: Reports): string {
  return memberNames
    .map((member) => `${member} ${(100 * share(reports, member)).toFixed(1)} %`)
    .join(' ');
}

/** Troubles unless the shares follow the weights within `tolerance` (0.05: five points). */
export function unlike(reports: Reports, weights: Weights, tolerance: number): string[] {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  return memberNames.flatMap((member) => {
    const seen = share(reports, member);
    const expected = weights[member] / total;
    if (Math.abs(seen - expected) <= tolerance) return [];
    return [
      `${member}: expected ${(100 * expected).toFixed(1)} % of new connections, seen ${(100 * seen).toFixed(1)} %`,
    ];
  });
}

export class Stage {
  /** Deaths so far: what they explain may show only when a client stops waiting. */
  readonly deaths: Death[] = [];
  /** New connections so far, by service. */
  readonly connections = new Map<string, number>();
  private act: Reports = new Map();
  private shopped: ShopReport | null = null;

  private constructor(
    readonly lab: Lab,
    private readonly loads: ReadonlyMap<string, Load>,
    /** Null where the configuration has no service behind the proxy. */
    readonly shop: Shop | null,
  ) {}

  static async open(
    lab: Lab,
    settings: (target: ServiceTarget) => Partial<LoadSettings>,
  ): Promise<Stage> {
    const loads = await Promise.all(
      lab.targets.map(
        async (target) => [target.name, await lab.load(target, settings(target))] as const,
      ),
    );
    return new Stage(
      lab,
      new Map(loads),
      lab.hasShop ? await Shop.open(lab.topology, lab.unit) : null,
    );
  }

  private async collect(ask: (load: Load) => Promise<LoadReport>): Promise<Reports> {
    const window = new Map(
      await Promise.all(
        [...this.loads].map(async ([name, load]) => [name, await ask(load)] as const),
      ),
    );
    for (const [name, report] of window) {
      this.connections.set(name, (this.connections.get(name) ?? 0) + report.connections);
    }
    this.act = joinedAll(this.act, window);
    return window;
  }

  /** Closes the current window of every client, and returns what was seen in it. */
  window(name: string): Promise<Reports> {
    return this.collect((load) => load.mark(name));
  }

  /** What the customers of the proxied service saw since the last look. */
  async shopWindow(name: string): Promise<ShopReport | null> {
    if (this.shop === null) return null;
    const report = await this.shop.mark(name);
    this.keepShop(report);
    return report;
  }

  private keepShop(report: ShopReport): void {
    this.shopped = this.shopped === null ? report : joinedReports(this.shopped, report);
  }

  /** Plays an act; what the clients saw since the one before it counts as its own. */
  async play(act: Act): Promise<Seen> {
    const begun = Date.now();
    const outcome = await act.play(this);
    await this.window(act.name);
    await this.shopWindow(act.name);
    const seen = this.verdict(outcome);
    if (seen.troubles.length === 0) return seen;
    const deaths = this.deaths.map(describeDeath);
    return { ...seen, troubles: [...seen.troubles, ...deaths, ...this.told(begun)] };
  }

  /** What the daemon logged during a troubled act. */
  private told(since: number): string[] {
    return this.lab.unit
      .logSince(since)
      .slice(-20)
      .map(({ time, message }) => `the daemon, ${clock(time)}: ${message}`);
  }

  /** Lets every client finish, and judges what was seen since the last act. */
  async close(): Promise<Seen> {
    await this.collect((load) => load.stop());
    if (this.shop !== null) this.keepShop(await this.shop.stop());
    return this.verdict({});
  }

  private verdict(outcome: Outcome): Seen {
    const seen = judge(this.act, this.lab.targets, this.deaths, outcome);
    this.act = new Map();
    const shopped = this.shopped;
    this.shopped = null;
    if (shopped === null) return seen;
    return {
      ...seen,
      notes: [describeShop(shopped), ...seen.notes],
      troubles: [...seen.troubles, ...judgeShop(shopped, this.deaths, outcome.lost ?? [])],
    };
  }
}

/** One line for people on all services of an act together. */
export function describeSeen(seen: Seen): string {
  const all = [...seen.reports.values()].reduce(joined);
  const [slowest] = [...seen.reports].sort(([, a], [, b]) => b.longestGap - a.longestGap);
  const gone = seen.explained > 0 ? ` (${seen.explained} of them on the member that died)` : '';
  const text = describeReport(all)
    .replace(/\d+ failed/, `$&${gone}`)
    .replace(/longest gap \d+ ms/, `$& (${slowest?.[0] ?? 'none'})`);
  return [text, ...seen.notes].join('; ');
}
