/**
 * Which groups of virtual routers an administrator told this unit to give up, until that is taken back:
 * kept in a file, since neither a restart of the daemon nor one of the machine takes it back.
 *
 * Invariant: what was asked of all groups holds for groups that come later too.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { writeWhole } from '../whole-file.js';

export const FAILOVERS_FILE = 'failovers.json';

const keptSchema = z.strictObject({ all: z.boolean(), groups: z.array(z.string()).max(10_000) });
type Kept = z.output<typeof keptSchema>;

const NONE: Kept = { all: false, groups: [] };

export class Failovers {
  readonly #path: string | null;
  #kept: Kept = NONE;

  /** Without a path it is forgotten with the process. `onProblem`: the file cannot be used. */
  constructor(path: string | null = null, onProblem: (error: unknown) => void = () => undefined) {
    this.#path = path;
    if (path === null) return;
    try {
      this.#kept = read(path);
    } catch (error) {
      onProblem(error);
    }
  }

  has(group: string): boolean {
    return this.#kept.all || this.#kept.groups.includes(group);
  }

  /** `all`: these are all that there are. @throws when it cannot be kept; then nothing is changed */
  add(groups: readonly string[], all: boolean): void {
    if (all) this.#keep({ all: true, groups: [] });
    else if (!this.#kept.all) {
      this.#keep({ all: false, groups: [...new Set([...this.#kept.groups, ...groups])] });
    }
  }

  /** Takes it back; `others`: the groups that are not meant. @throws as `add` */
  remove(groups: readonly string[], others: readonly string[]): void {
    const left = this.#kept.all ? others : this.#kept.groups.filter((one) => !groups.includes(one));
    this.#keep({ all: false, groups: [...left] });
  }

  /** What other groups there were is over. `paired`: else `all` is over with the last one. @throws when the file cannot be written */
  follow(groups: readonly string[], paired: boolean): void {
    const all = this.#kept.all && (groups.length > 0 || paired);
    const left = this.#kept.groups.filter((one) => groups.includes(one));
    if (all !== this.#kept.all || left.length < this.#kept.groups.length) {
      this.#keep({ all, groups: left });
    }
  }

  #keep(kept: Kept): void {
    if (this.#path !== null) {
      writeWhole(this.#path, `${JSON.stringify(kept)}\n`, { flush: true });
    }
    this.#kept = kept;
  }
}

function read(path: string): Kept {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NONE;
    throw error;
  }
  try {
    return keptSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(
      `${path} is damaged: remove it, and repeat "weir pair failover" where this unit is to give up its addresses`,
      { cause },
    );
  }
}
