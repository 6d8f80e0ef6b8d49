/**
 * The host below, as far as it is Weir's to set: its links, addresses and routes.
 *
 * Invariant: without the daemon's option for it nothing of the host is touched, nor read.
 */
import type { Poller } from '../../native/ffi/poller.js';
import { networkKeys, type HostKey } from '../config/support.js';
import type { Unit } from '../config/unit.js';
import { OwnNetwork } from '../net/own/own-network.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { HostPort } from './ports.js';

export interface HostOptions {
  readonly poller: Poller;
  readonly events: EventLog;
  /** Left out: no. */
  readonly ownNetwork?: boolean;
  /** What cannot be done has changed. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

export class Host implements HostPort {
  readonly keys: readonly HostKey[];
  readonly #options: HostOptions;
  readonly #network: OwnNetwork | null;
  #told: ReadonlySet<string> = new Set();

  constructor(options: HostOptions) {
    const { poller, ownNetwork = false, onError } = options;
    this.#options = options;
    this.keys = ownNetwork ? networkKeys : [];
    this.#network = ownNetwork
      ? new OwnNetwork({ poller, onError, onChange: () => this.#changed() })
      : null;
  }

  get problems(): readonly string[] {
    return this.#network?.problems.map(({ message }) => message) ?? [];
  }

  async follow({ network }: Unit): Promise<void> {
    await this.#network?.follow(network ?? null);
  }

  close(): void {
    this.#network?.close();
  }

  #changed(): void {
    const { events, onChange } = this.#options;
    const now = new Set(this.problems);
    for (const message of now) {
      if (!this.#told.has(message)) events.append({ kind: 'link', severity: 'warning', message });
    }
    if (now.size === 0) {
      const message = 'the network of this unit is as the configuration wants it';
      events.append({ kind: 'link', severity: 'info', message });
    }
    this.#told = now;
    onChange();
  }
}
