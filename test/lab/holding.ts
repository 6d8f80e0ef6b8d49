/** Which unit of a pair has which addresses, as its kernel says. */
import { run } from './commands.js';
import type { PairLab } from './pair-lab.js';
import type { UnitName } from './topology.js';
import { until } from './unit.js';

/** Nothing here takes so long; a machine that is busy may. */
const PATIENCE = 20_000;

export class Holding {
  readonly #lab: PairLab;
  readonly #addresses: readonly string[];

  /** `addresses`: those that move, canonical. */
  constructor(lab: PairLab, addresses: readonly string[]) {
    this.#lab = lab;
    this.#addresses = addresses;
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
    return until(`unit-a | unit-b: ${text([a, b])}`, PATIENCE, async () => {
      const seen = text([await this.of('unit-a'), await this.of('unit-b')]);
      return seen === text([a, b]) || seen;
    });
  }

  /** Waits until a unit has all of them, whatever the kernel of the other one still has. */
  untilAll(unit: UnitName): Promise<number> {
    return until(`${unit} has everything`, PATIENCE, async () => {
      const seen = await this.of(unit);
      return seen.length === this.#addresses.length || seen.join(' ');
    });
  }
}
