/** Which unit of a pair has which addresses, as its kernel says, and since when, as it tells. */
import type { EventRow } from '../../appliance/api/contract.js';
import { run } from './commands.js';
import type { PairLab } from './pair-lab.js';
import type { UnitName } from './topology.js';
import { until, type Unit } from './unit.js';

/** Nothing here takes so long; a machine that is busy may. */
const PATIENCE = 20_000;

export class Holding {
  readonly #lab: PairLab;
  readonly #addresses: readonly string[];
  readonly #patience: number;

  /** `addresses`: those that move, canonical. `patience`: in milliseconds. */
  constructor(lab: PairLab, addresses: readonly string[], patience = PATIENCE) {
    this.#lab = lab;
    this.#addresses = addresses;
    this.#patience = patience;
  }

  /** Which of them the unit has. */
  async of(unit: UnitName): Promise<string[]> {
    const text = await run('ip', ['-n', this.#lab.topology.namespace(unit), '-json', 'addr']);
    const links = JSON.parse(text) as { readonly addr_info: { readonly local: string }[] }[];
    const there = new Set(links.flatMap(({ addr_info: own }) => own.map(({ local }) => local)));
    return this.#addresses.filter((address) => there.has(address));
  }

  /** Waits until unit-a has these, and unit-b the rest, or what is said of it. Returns milliseconds. */
  until(
    a: readonly string[],
    b: readonly string[] = this.#addresses.filter((address) => !a.includes(address)),
  ): Promise<number> {
    const text = (of: readonly (readonly string[])[]): string =>
      of.map((some) => some.join(' ')).join(' | ');
    return until(`unit-a | unit-b: ${text([a, b])}`, this.#patience, async () => {
      const seen = text([await this.of('unit-a'), await this.of('unit-b')]);
      return seen === text([a, b]) || seen;
    });
  }

  /** Waits until a unit has all of them, whatever the kernel of the other one still has. */
  untilAll(unit: UnitName): Promise<number> {
    return until(`${unit} has everything`, this.#patience, async () => {
      const seen = await this.of(unit);
      return seen.length === this.#addresses.length || seen.join(' ');
    });
  }
}

/** When, in milliseconds since 1970, a unit told of something, which it does after `since`. */
export async function toldAt(unit: Unit, since: number, pattern: RegExp): Promise<number> {
  let at = 0;
  await until(`${unit.name} tells of ${String(pattern)}`, PATIENCE, async () => {
    const rows = await unit.get<EventRow[]>('/v1/events?limit=100');
    const found = rows.find(({ time, message }) => time >= since && pattern.test(message));
    at = found?.time ?? 0;
    return found !== undefined || rows.map(({ message }) => message).join('; ');
  });
  return at;
}
