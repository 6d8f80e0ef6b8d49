/**
 * Sets the interfaces of the fast path as their profiles advise, by the commands that the advice
 * names, before the program is first attached to them.
 *
 * Invariants:
 * - An interface that the program runs on already is left alone: new queues or rings reset a card, and packets
 *   in flight are lost.
 * - Each is tried once, so that a card that refuses is not reset again and again; what it refused is told.
 * - The MTU is not advice alone: it must agree with the network's, so it is left to people.
 */
import type { HardwareCheck } from '../api/contract.js';

export interface LinkToTune {
  readonly name: string;
  readonly index: number;
}

export interface TuneEvent {
  readonly severity: 'info' | 'warning';
  readonly message: string;
  readonly interface: string;
}

export interface TunerParts {
  /** Of all interfaces that are there, by name. */
  readonly advise: () => ReadonlyMap<string, readonly HardwareCheck[]>;
  readonly attached: (link: LinkToTune) => boolean;
  /** Rejects with the program's words. */
  readonly run: (program: string, words: readonly string[]) => Promise<void>;
  readonly onEvent: (event: TuneEvent) => void;
}

export class Tuner {
  readonly #parts: TunerParts;
  readonly #done = new Set<number>();

  constructor(parts: TunerParts) {
    this.#parts = parts;
  }

  /** Those that were not seen before. What fails is told, and no reason not to go on. */
  async before(links: readonly LinkToTune[]): Promise<void> {
    const fresh = links.filter(({ index }) => !this.#done.has(index));
    for (const { index } of fresh) this.#done.add(index);
    const idle = fresh.filter((link) => !this.#parts.attached(link));
    if (idle.length === 0) return;
    const advice = this.#parts.advise();
    for (const link of idle) await this.#tune(link, advice.get(link.name) ?? []);
  }

  async #tune(link: LinkToTune, checks: readonly HardwareCheck[]): Promise<void> {
    for (const { subject, state, command, wanted, why } of checks) {
      if (state !== 'change' || command === null || subject === 'mtu') continue;
      const told = { interface: link.name };
      try {
        for (const [program = '', ...words] of commandsOf(command)) {
          await this.#parts.run(program, words);
        }
        const message = `${link.name}: ${subject} set to ${wanted}. ${why}`;
        this.#parts.onEvent({ ...told, severity: 'info', message });
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const message = `${link.name}: ${subject} could not be set to ${wanted}: ${reason}`;
        this.#parts.onEvent({ ...told, severity: 'warning', message });
      }
    }
  }
}

/** Programs with their words: advice has no quotes, and names of interfaces have no spaces. */
function commandsOf(command: string): string[][] {
  return command.split(' && ').map((one) => one.split(' '));
}
