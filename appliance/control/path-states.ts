/** Which ways to the other unit's speaker are heard, as this unit's speaker says: for people. */
import type { PairPath } from '../api/contract.js';
import type { PathStatus } from '../ha/vrrp/speaker/pair-paths.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { PathsSource } from './heartbeat-paths.js';

export interface PathStatesOptions {
  readonly peer: () => string | null;
  readonly source: () => PathsSource | null;
  readonly events: Pick<EventLog, 'append'>;
}

export class PathStates {
  readonly #options: PathStatesOptions;
  readonly #known = new Map<string, { readonly heard: boolean; readonly since: number }>();

  constructor(options: PathStatesOptions) {
    this.#options = options;
  }

  /** All of them, of which one has come or gone. */
  hear(paths: readonly PathStatus[]): void {
    const names = new Set(paths.map(({ path }) => path));
    for (const name of this.#known.keys()) if (!names.has(name)) this.#known.delete(name);
    for (const { path, alive } of paths) {
      const before = this.#known.get(path)?.heard;
      if (before === alive) continue;
      this.#known.set(path, { heard: alive, since: Date.now() });
      // Before the first heartbeat there is nothing to miss.
      if (alive || before !== undefined) this.#announce(path, alive);
    }
  }

  /** No speaker listens. */
  forget(): void {
    this.#known.clear();
  }

  rows(): PairPath[] {
    return (this.#options.source()?.paths ?? []).map(
      ({ name, interface: on, local, remote }): PairPath => {
        const known = this.#known.get(name);
        return {
          ...{ path: name, interface: on, local, remote },
          ...{ heard: known?.heard ?? null, since: known?.since ?? null },
        };
      },
    );
  }

  #announce(name: string, heard: boolean): void {
    const peer = this.#options.peer() ?? 'the other unit';
    const path = this.#options.source()?.paths.find((one) => one.name === name);
    const by = path === undefined ? name : `${path.interface} (${name})`;
    this.#options.events.append({
      kind: 'pair',
      severity: heard ? 'info' : 'warning',
      message: `heartbeats of ${peer} ${heard ? 'come' : 'no longer come'} by ${by}`,
      subject: { peer },
    });
  }
}
