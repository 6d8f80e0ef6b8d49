/**
 * A flow table in memory that behaves towards the mirror as the fast path's does: a ring that can be
 * full, walks that tell what was not told in the pass, flows of the other unit that are dropped when a
 * pass goes by without them.
 *
 * Invariant: `own` are flows that this unit saw the last packet of, `others` all else that it knows.
 */
import {
  PASSES,
  type Description,
  type FlowTable,
  type Outcomes,
  type WalkReport,
  type WalkRequest,
} from '../../appliance/ha/flows/flow-table.js';

const BYTES = 8;
const kinds = { flow: 1, gone: 2 } as const;

export class PlayedFlowTable implements FlowTable {
  readonly recordBytes = BYTES;
  /** By number: the pass in which it was told of; 0: not yet. */
  readonly own = new Map<number, number>();
  /** By number: the pass in which it was told to us. */
  readonly others = new Map<number, number>();
  readonly met: (Description | null)[] = [];
  untold = 0;
  natAddresses: string[] = [];
  walks = 0;
  most = 0;
  failNextWalk = false;
  takenOver = 0;
  #pass = 0;
  #ring: Buffer[] = [];

  constructor(
    public id: string,
    readonly ringRecords = 8192,
  ) {}

  get theirs(): number {
    return this.others.size;
  }

  /** Flows begin, or this unit sees packets of them. */
  begin(...numbers: number[]): void {
    for (const number of numbers) {
      this.others.delete(number);
      this.own.set(number, this.#put(number, kinds.flow) ? this.#pass : 0);
    }
  }

  end(...numbers: number[]): void {
    for (const number of numbers) {
      const told = this.own.get(number) ?? 0;
      this.own.delete(number);
      if (told !== 0 && this.#pass !== 0 && !this.#put(number, kinds.gone)) this.untold += 1;
    }
  }

  /** As after the machine was started anew. */
  lose(id: string): void {
    this.id = id;
    this.own.clear();
    this.others.clear();
    this.#ring = [];
  }

  known(): number[] {
    return [...this.own.keys(), ...this.others.keys()].sort((a, b) => a - b);
  }

  tell(pass: number): void {
    if (pass < 0 || pass > PASSES) throw new RangeError(`pass ${pass}`);
    this.#pass = pass;
  }

  drain(most: number): Buffer {
    return Buffer.concat(this.#ring.splice(0, most));
  }

  async walk({ most, reset }: WalkRequest): Promise<WalkReport> {
    await new Promise((resolve) => setImmediate(resolve));
    this.walks += 1;
    if (this.failNextWalk) {
      this.failNextWalk = false;
      throw new Error('the kernel refuses');
    }
    if (reset) for (const number of this.own.keys()) this.own.set(number, 0);
    let told = 0;
    let left = false;
    for (const [number, pass] of this.own) {
      if (this.#pass === 0 || pass === this.#pass) continue;
      left = told >= most || !this.#put(number, kinds.flow);
      if (left) break;
      this.own.set(number, this.#pass);
      told++;
    }
    return { told, left, milliseconds: 0 };
  }

  adopt(): number {
    const count = this.others.size;
    for (const number of this.others.keys()) this.own.set(number, 0);
    this.others.clear();
    return count;
  }

  take(records: Buffer): Outcomes {
    const outcomes: Record<string, number> = {};
    for (let at = 0; at < records.length; at += BYTES) {
      const outcome = this.#takeOne(records.subarray(at, at + BYTES));
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    return outcomes;
  }

  dropTheirs(pass: number, next: number): void {
    for (const [number, told] of this.others) {
      if (told !== pass && told !== next) this.others.delete(number);
    }
  }

  describe(): Description {
    return { table: this.id, natAddresses: this.natAddresses, ways: [] };
  }

  meet(other: Description | null): void {
    this.met.push(other);
  }

  #takeOne(record: Buffer): string {
    const number = record.readUInt32LE(0);
    const kind = record[4];
    if (kind === kinds.gone) return this.others.delete(number) ? 'removed' : 'unknown';
    if (kind !== kinds.flow) return 'malformed';
    if (this.own.has(number)) return 'own';
    const known = this.others.has(number);
    this.others.set(number, record[5] ?? 0);
    return known ? 'refreshed' : 'stored';
  }

  /** False when nobody is told, or the ring is full. */
  #put(number: number, kind: number): boolean {
    if (this.#pass === 0 || this.#ring.length >= this.ringRecords) return false;
    const record = Buffer.alloc(BYTES);
    record.writeUInt32LE(number, 0);
    record[4] = kind;
    record[5] = this.#pass;
    this.#ring.push(record);
    this.most = Math.max(this.most, this.#ring.length);
    return true;
  }
}
