/**
 * Tells when SYN cookies of a service begin and end. The fast path decides that by itself, CPU by
 * CPU; once a second this looks at what it decided. Pure.
 */
import type { SynCookieCounters } from '../api/contract.js';
import type { NewEvent } from '../telemetry/event-log.js';

export interface CookieState extends SynCookieCounters {
  /** By the configuration, flood or not: nothing to tell. */
  readonly always: boolean;
}

export class CookieWatch {
  readonly #on = new Set<string>();

  /** The events of what changed since the last look. */
  look(states: ReadonlyMap<string, CookieState>): NewEvent[] {
    const found: NewEvent[] = [];
    for (const [service, state] of states) {
      const on = state.on && !state.always;
      if (on === this.#on.has(service)) continue;
      if (on) this.#on.add(service);
      else this.#on.delete(service);
      found.push({
        kind: 'syn-cookies',
        severity: on ? 'warning' : 'info',
        message: on
          ? `SYN cookies on for service ${service}: handshakes are left open faster than the flow table can hold`
          : `SYN cookies off for service ${service}`,
        subject: { service },
      });
    }
    for (const service of this.#on) if (!states.has(service)) this.#on.delete(service);
    return found;
  }
}
