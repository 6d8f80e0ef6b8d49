/**
 * Carries out the plan for the service addresses, and puts back what somebody else removed.
 *
 * Invariants:
 * - The mirror knows of a change of ours as soon as the kernel acknowledged it: the next plan does
 *   not wait for the notification.
 * - The same address is added at most once within PAUSE_MS, so that a fight with another program
 *   stays slow.
 */
import { SystemError } from '../../native/ffi/libc.js';
import { NLM_F_CREATE, NLM_F_EXCL } from '../../native/ffi/netlink-message.js';
import type { Mirror } from './mirror.js';
import {
  ADDRESS_ORIGIN,
  planServiceAddresses,
  type AddressStep,
  type Problem,
} from './service-addresses.js';
import * as wire from './wire.js';

export const PAUSE_MS = 1000;

export interface Placement {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly present: readonly string[];
  readonly problems: readonly Problem[];
  /** Something was put off: place again after PAUSE_MS. */
  readonly again: boolean;
}

export class AddressKeeper {
  readonly #mirror: Mirror;
  /** When we last added which address, by `INDEX ADDRESS`. */
  readonly #addedAt = new Map<string, number>();

  constructor(mirror: Mirror) {
    this.#mirror = mirror;
  }

  /** Makes the kernel hold the wanted addresses and none of ours besides. */
  async place(wanted: readonly string[], fastPath: readonly wire.Link[]): Promise<Placement> {
    const { links, addresses } = this.#mirror;
    const plan = planServiceAddresses({ wanted, links, addresses: addresses.all(), fastPath });
    const problems = [...plan.problems];
    const now = performance.now();
    const early = plan.add.filter((step) => now < this.#pausedUntil(step));
    for (const { text } of early) {
      problems.push({
        subject: text,
        message: `something on this unit removes service address ${text}; it comes back once a second`,
      });
    }
    // First add, then remove: an address that moves is never missing.
    const due = plan.add.filter((step) => !early.includes(step));
    const added = await this.#change(wire.RTM_NEWADDR, due, problems);
    const removed = await this.#change(wire.RTM_DELADDR, plan.remove, problems);
    return { added, removed, present: plan.present, problems, again: early.length > 0 };
  }

  #pausedUntil({ text, interfaceIndex }: AddressStep): number {
    return (this.#addedAt.get(`${interfaceIndex} ${text}`) ?? -Infinity) + PAUSE_MS;
  }

  /** Adds or removes; one may fail without the others. Returns those done. */
  async #change(
    type: number,
    steps: readonly AddressStep[],
    problems: Problem[],
  ): Promise<string[]> {
    const adding = type === wire.RTM_NEWADDR;
    const answers = await this.#mirror.requests.batch(
      steps.map(({ address, interfaceIndex }) => ({
        type,
        flags: adding ? NLM_F_CREATE | NLM_F_EXCL : 0,
        payload: wire.encodeOwnAddress(address, interfaceIndex, ADDRESS_ORIGIN),
      })),
    );
    const done: string[] = [];
    steps.forEach((step, index) => {
      const answer = answers[index];
      // Somebody was faster: the notification that says so is on its way.
      const harmless = adding ? 'EEXIST' : 'EADDRNOTAVAIL';
      if (answer instanceof SystemError && answer.code !== harmless) {
        const name = this.#mirror.links.get(step.interfaceIndex)?.name ?? step.interfaceIndex;
        const what = adding ? `add service address ${step.text} to` : `remove ${step.text} from`;
        problems.push({
          subject: step.text,
          message: `cannot ${what} ${name}: ${answer.message}`,
        });
        return;
      }
      this.#remember(adding, step);
      if (!(answer instanceof SystemError)) done.push(step.text);
    });
    return done;
  }

  #remember(added: boolean, { address, text, interfaceIndex }: AddressStep): void {
    const entry = {
      interfaceIndex,
      address: text,
      ...address,
      prefixLength: address.bytes.length * 8,
      origin: ADDRESS_ORIGIN,
    };
    const key = `${interfaceIndex} ${text}`;
    if (added) {
      this.#mirror.addresses.set(entry);
      this.#addedAt.set(key, performance.now());
    } else {
      this.#mirror.addresses.delete(entry);
      this.#addedAt.delete(key);
    }
  }
}
