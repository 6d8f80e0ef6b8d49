/**
 * The host below, as far as it is Weir's to set: its links, addresses and routes; and its files, about
 * its name, resolvers, time and keyboard.
 *
 * Invariant: without the daemon's option for it nothing of the host is touched.
 */
import type { Poller } from '../../native/ffi/poller.js';
import { fileKeys, networkKeys, type HostKey } from '../config/support.js';
import type { Unit } from '../config/unit.js';
import { OwnNetwork } from '../net/own/own-network.js';
import { SystemFiles } from '../system/files/system-files.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { HostPort } from './ports.js';

export interface HostOptions {
  readonly poller: Poller;
  readonly events: EventLog;
  /** Left out: no. */
  readonly ownNetwork?: boolean;
  /** Root of the host's files; left out: they are not touched. */
  readonly systemFiles?: string;
  /** What cannot be done has changed. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

export class Host implements HostPort {
  readonly keys: readonly HostKey[];
  /** Of its files. */
  readonly root: string;
  readonly #options: HostOptions;
  readonly #network: OwnNetwork | null;
  readonly #files: SystemFiles | null;
  #told: ReadonlySet<string> = new Set();

  constructor(options: HostOptions) {
    const { poller, ownNetwork = false, systemFiles: root, onError } = options;
    const onChange = (): void => this.#changed();
    this.#options = options;
    this.keys = [...(ownNetwork ? networkKeys : []), ...(root === undefined ? [] : fileKeys)];
    this.root = root ?? '/';
    this.#network = ownNetwork ? new OwnNetwork({ poller, onError, onChange }) : null;
    this.#files = root === undefined ? null : new SystemFiles({ root, onError, onChange });
  }

  get problems(): readonly string[] {
    const refused = this.#network?.problems.map(({ message }) => message) ?? [];
    return [...refused, ...(this.#files?.problems ?? [])];
  }

  async follow(unit: Unit): Promise<void> {
    await this.#network?.follow(unit.network ?? null);
    await this.#files?.follow(unit);
  }

  close(): void {
    this.#network?.close();
    this.#files?.close();
  }

  #changed(): void {
    const { events, onChange } = this.#options;
    const now = new Set(this.problems);
    for (const message of now) {
      if (!this.#told.has(message)) events.append({ kind: 'link', severity: 'warning', message });
    }
    if (now.size === 0) {
      const message = 'this host is as the configuration wants it';
      events.append({ kind: 'link', severity: 'info', message });
    }
    this.#told = now;
    onChange();
  }
}
