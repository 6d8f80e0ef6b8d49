/**
 * Virtual routers that move together. Pure.
 *
 * Invariants:
 * - A group holds all of its addresses or none: it takes over when every router of it is silent or
 *   master, and yields, or falls, as a whole. So a network that is cut in two while another is
 *   whole does not tear a unit's routers apart, and no half takes over what the other half gives up.
 */
import { groupKey } from './paths/heartbeat.js';
import type { GroupSettings } from './settings.js';
import { isUnfit, standing, type Standing } from './tracking.js';
import type { Role, VirtualRouter } from './virtual-router.js';
import { OWNER_PRIORITY } from './packet.js';

export class Group {
  settings: GroupSettings;
  /** What it is called in heartbeats. */
  readonly key: string;
  /** In the order of the settings. */
  routers: readonly VirtualRouter[] = [];
  /** When the first weaker master was heard. */
  #weakerSince: number | null = null;
  /** Why there is no master any more, where that is known without waiting. */
  #vacant: string | null = null;

  constructor(settings: GroupSettings) {
    this.settings = settings;
    this.key = groupKey(settings.name);
  }

  /**
   * A weaker master of this priority was heard. `sank`: it has become weaker than it was, which nobody
   * waits for.
   */
  mayPreempt(now: number, priority: number, sank: boolean): boolean {
    const { preempt, preemptDelay } = this.settings;
    if (sank) this.#weakerSince = -Infinity;
    const worse = preempt === 'weaker' || (isUnfit(priority) && !isUnfit(this.priority));
    if (preempt === 'none' || !worse) return this.#weakerSince === -Infinity;
    this.#weakerSince ??= now;
    return now >= this.#weakerSince + preemptDelay;
  }

  /** A master was heard that is to stay: the next weaker one is given its time anew. */
  content(): void {
    this.#weakerSince = null;
  }

  get state(): Role {
    const [first] = this.routers;
    return first?.role ?? 'down';
  }

  get priority(): number {
    return this.routers[0]?.priority ?? this.settings.priority;
  }

  /** When a master was last heard for any router. */
  get heardAt(): number {
    return Math.max(-Infinity, ...this.routers.map((router) => router.heardAt));
  }

  /** Nobody holds it any more. `why`: a sentence's end for people. */
  vacant(why: string): void {
    for (const router of this.routers) router.vacant();
    this.#vacant = why;
  }

  /**
   * Makes of what happened to single routers what happens to all. `states`: what is tracked;
   * `obstacle`: why a router cannot speak at all, null when it can.
   */
  settle(
    now: number,
    states: ReadonlyMap<string, boolean>,
    obstacle: (router: VirtualRouter) => string | null,
  ): void {
    const stand = this.#standing(states, obstacle);
    if (stand.kind === 'fault') {
      for (const router of this.routers) router.stop(now, stand.cause);
      this.#vacant = null;
      this.#weakerSince = null;
      return;
    }
    for (const router of this.routers) {
      router.setPriority(stand.priority);
      if (router.role === 'down') router.start(now, stand.priority === OWNER_PRIORITY);
    }
    // Each asked: asking forgets.
    const yielded = this.routers.filter((router) => router.takeYielded()).length > 0;
    if (yielded) {
      for (const router of this.routers) {
        if (router.role !== 'master') continue;
        router.yield(now, null, 'another router of its group yielded');
        router.takeYielded();
      }
      this.#weakerSince = null;
      return;
    }
    if (!this.routers.every((router) => router.role === 'master' || router.silent)) return;
    for (const router of this.routers) {
      if (router.role !== 'master') router.take(now, this.#vacant ?? 'no better master was heard');
    }
    this.#vacant = null;
    this.#weakerSince = null;
  }

  #standing(
    states: ReadonlyMap<string, boolean>,
    obstacle: (router: VirtualRouter) => string | null,
  ): Standing {
    for (const router of this.routers) {
      const cause = obstacle(router);
      if (cause !== null) return { kind: 'fault', cause };
    }
    const stand = standing(this.settings.priority, this.settings.tracked, states);
    return stand.kind === 'fault' ? { ...stand, cause: `${stand.cause} is not well` } : stand;
  }
}
