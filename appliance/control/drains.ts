/**
 * Draining deadlines: since when a member drains, and whether its pool's drain-timeout is over.
 *
 * When draining began is in the history already: it is the time of the newest revision that set
 * the member draining. So nothing more is kept, a deadline holds across restarts and on the other
 * unit of a pair, and a rollback that sets a member draining again begins anew.
 *
 * Invariant: while the daemon runs, the time that passes decides and not the clock, so a clock
 * that is set neither ends a drain early nor keeps it from ending. No drain lasts longer than its
 * timeout from when the daemon first saw it.
 */
import { memberKey } from '../config/addresses.js';
import type { Change } from '../config/changes.js';
import { formatPath } from '../config/errors.js';
import type { Intent } from '../config/schema.js';
import type { RevisionSummary } from '../config/store.js';
import { memberId } from './compile-pools.js';

/** The newest revisions first; `before` continues an earlier page. */
export type History = (page: {
  readonly limit: number;
  readonly before?: number;
}) => readonly RevisionSummary[];

export interface DrainsOptions {
  readonly history: History;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** The history could not be read: a drain then counts from now on. */
  readonly onError: (error: unknown) => void;
}

interface Drain {
  /** When it began, by the clock that only goes forward; before the daemon began, it is negative. */
  readonly since: number;
  timeout: number;
  over: boolean;
}

interface Draining {
  readonly id: string;
  readonly pool: string;
  readonly key: string;
  readonly timeout: number;
}

const PAGE = 50;

export class Drains {
  readonly #options: DrainsOptions;
  readonly #drains = new Map<string, Drain>();
  #intent: Intent | null = null;

  constructor(options: DrainsOptions) {
    this.#options = options;
  }

  over(id: string): boolean {
    return this.#drains.get(id)?.over === true;
  }

  /** Takes the intent that is to be executed next. */
  follow(intent: Intent): void {
    if (intent === this.#intent) return;
    this.#intent = intent;
    const draining = new Map(drainingMembers(intent).map((one) => [one.id, one]));
    for (const [id, drain] of this.#drains) {
      const wanted = draining.get(id);
      if (wanted === undefined) this.#drains.delete(id);
      else drain.timeout = wanted.timeout;
    }
    const found = [...draining.values()].filter(({ id }) => !this.#drains.has(id));
    if (found.length > 0) this.#begin(found);
    this.step();
  }

  /** Lets time pass. Returns whether a drain is over that was not before, or the other way round. */
  step(): boolean {
    const now = this.#options.now();
    let changed = false;
    for (const drain of this.#drains.values()) {
      const over = now - drain.since >= drain.timeout;
      if (over !== drain.over) changed = true;
      drain.over = over;
    }
    return changed;
  }

  #begin(members: readonly Draining[]): void {
    const now = this.#options.now();
    const clock = this.#options.clock();
    let begun: ReadonlyMap<string, number> = new Map();
    try {
      begun = drainStarts(members, this.#options.history, clock);
    } catch (error) {
      this.#options.onError(error);
    }
    for (const { id, timeout } of members) {
      // A start in the future is that of a clock which was set back since.
      const age = Math.max(0, clock - (begun.get(id) ?? clock));
      this.#drains.set(id, { since: now - age, timeout, over: false });
    }
  }
}

function drainingMembers(intent: Intent): Draining[] {
  return Object.entries(intent.pools).flatMap(([pool, { members, ...settings }]) => {
    const timeout = settings['drain-timeout'];
    if (timeout === undefined) return [];
    return members
      .filter(({ state }) => state === 'draining')
      .map((member) => {
        const key = memberKey(member);
        return { id: memberId(pool, key), pool, key, timeout };
      });
  });
}

/**
 * When each of these members was set draining. Looks back no further than the longest timeout:
 * what is older is over, whenever exactly it began.
 */
function drainStarts(
  members: readonly Draining[],
  history: History,
  clock: number,
): ReadonlyMap<string, number> {
  const starts = new Map<string, number>();
  const left = new Map(members.map((one) => [one.id, one]));
  const longest = members.reduce((most, { timeout }) => Math.max(most, timeout), 0);
  let oldest = clock;
  for (let before: number | undefined; left.size > 0;) {
    const page = history(before === undefined ? { limit: PAGE } : { limit: PAGE, before });
    for (const revision of page) {
      before = revision.number;
      oldest = Math.min(oldest, revision.time);
      for (const [id, member] of left) {
        if (!revision.changes.some((change) => setsDraining(change, member))) continue;
        starts.set(id, revision.time);
        left.delete(id);
      }
    }
    if (page.length < PAGE || clock - oldest >= longest) break;
  }
  for (const id of left.keys()) starts.set(id, Math.min(oldest, clock - longest));
  return starts;
}

/**
 * Whether a change is what set a member draining that drains now. Of the changes that could be,
 * the newest is asked first, so one that brought the member or its whole pool brought it draining.
 */
function setsDraining(change: Change, { pool, key }: Draining): boolean {
  if (change.kind === 'removed') return false;
  const member = `${formatPath(['pools', pool, 'members'])}[${key}]`;
  if (change.path === `${member}.state`) return change.after === 'draining';
  return change.path === member || change.path === formatPath(['pools', pool]);
}
