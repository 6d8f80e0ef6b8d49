/**
 * The flows of this unit's fast path as far as the mirror needs them: appliance/l4 has it, tests have
 * one in memory. Records are bytes that only the two tables understand.
 *
 * Invariant: a table tells of each flow once in a pass, and again in the next one; what it could not
 * tell stays to be told.
 */
export interface FlowTable {
  /** Of the tables in the kernel: another one means that nothing is left of what was told before. */
  readonly id: string;
  /** Of one record. */
  readonly recordBytes: number;
  /** Tells of flows from now on, in this pass; 0: of none. */
  tell(pass: number): void;
  /** Records told since, at most so many; empty when there are none. */
  drain(most: number): Buffer;
  /** Tells of what was not told in the running pass. @throws when the kernel refuses */
  walk(request: WalkRequest): Promise<WalkReport>;
  /**
   * The other unit has lost the flows that it told of: they are this one's from now on. Returns how
   * many. @throws when the kernel refuses
   */
  adopt(): number;
  /** Records of the other unit. Never throws for what is in them. */
  take(records: Buffer): Outcomes;
  /** The other unit has told everything in this pass and maybe some in the next: the rest is over. */
  dropTheirs(pass: number, next: number): void;
  /** Ends of flows, ever, that could not be told. */
  readonly untold: number;
  /** Flows of the other unit, ever, that a packet came for here. */
  readonly takenOver: number;
  /** Flows of the other unit that are known now; null: not counted yet. */
  readonly theirs: number | null;
  /** What the other unit has to know of this one to make use of records. */
  describe(): Description;
  /** What the other unit is; null: not known. */
  meet(other: Description | null): void;
}

export interface WalkRequest {
  /** Records at most; 0: none. */
  readonly most: number;
  /** Nothing counts as told. */
  readonly reset: boolean;
}

export interface WalkReport {
  readonly told: number;
  /** There is more to tell. */
  readonly left: boolean;
  readonly milliseconds: number;
}

/** How many records had which outcome, by name. */
export type Outcomes = Readonly<Record<string, number>>;

export interface Description {
  readonly table: string;
  /** Addresses of the unit that full nat speaks from: the other one answers for them when it is dead. */
  readonly natAddresses: readonly string[];
  /** Where frames come in, and which networks are there. */
  readonly ways: readonly Way[];
}

export interface Way {
  /** Index of the interface that frames are met at. */
  readonly interface: number;
  /** Tags that they have there, the outer one first. */
  readonly vlan: readonly number[];
  /** `ADDRESS/BITS` of each network, the host bits 0. */
  readonly networks: readonly string[];
}

/** Passes have numbers of 1 to this, then begin anew. */
export const PASSES = 126;
