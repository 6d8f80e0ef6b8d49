/**
 * Lookup tables that change: where a packet of each flow goes after any history of changes, with
 * the entries that the fast path keeps (native/bpf/flow.h), against a list of all flows.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  PREVIOUS_ENTRIES,
  PREVIOUS_NONE,
  SLOT_WORDS,
  contestedSlots,
  dropPrevious,
  fillSlots,
  forgetPrevious,
  growSlots,
  moveSlots,
  settlePrevious,
} from '../../../appliance/l4/slots.js';

const test = suite('slots');

function table(rows: readonly number[]): Uint32Array {
  const words = new Uint32Array(rows.length * SLOT_WORDS);
  fillSlots(words, rows.length, (slot) => rows[slot] ?? 0);
  return words;
}

function rowsOf(words: Uint32Array): [row: number, previous: number][] {
  return Array.from({ length: words.length / SLOT_WORDS }, (_, slot) => [
    words[slot * SLOT_WORDS] ?? 0,
    words[slot * SLOT_WORDS + 1] ?? 0,
  ]);
}

test('a fresh table has no past', () => {
  assert.equal(rowsOf(table([1, 2])), [
    [1, PREVIOUS_NONE],
    [2, PREVIOUS_NONE],
  ]);
});

test('a slot that changes names its former member, and keeps naming the first', () => {
  const words = table([1, 2]);
  assert.is(
    moveSlots(words, 2, (slot) => [3, 2][slot] ?? 0, true),
    1,
  );
  assert.equal(rowsOf(words), [
    [3, 1],
    [2, PREVIOUS_NONE],
  ]);
  moveSlots(words, 2, (slot) => [4, 2][slot] ?? 0, true);
  assert.equal(rowsOf(words)[0], [4, 1]);
  moveSlots(words, 2, (slot) => [1, 2][slot] ?? 0, true);
  assert.equal(rowsOf(words)[0], [1, 1], 'flows that began meanwhile still have entries');
  assert.is(contestedSlots(words, 2), 1);
});

test('a table that is not picked from by hash has no past', () => {
  const words = table([1, 2]);
  moveSlots(words, 2, () => 3, false);
  assert.is(contestedSlots(words, 2), 0);
});

test('a bigger table inherits from the slot that each of its slots lies in', () => {
  const small = table([1, 2]);
  moveSlots(small, 2, (slot) => [1, 3][slot] ?? 0, true);
  const words = new Uint32Array(8 * SLOT_WORDS);
  growSlots(small, words, 8, 4, (slot) => [1, 1, 5, 1, 3, 5, 2, 3][slot] ?? 0);
  assert.equal(rowsOf(words), [
    [1, 0],
    [1, 0],
    [5, 1],
    [1, 0],
    [3, 2],
    [5, 2],
    [2, 2],
    [3, 2],
  ]);
});

test('a former member whose row goes is forgotten, its entries are not', () => {
  const words = table([1, 2]);
  moveSlots(words, 2, () => 3, true);
  forgetPrevious(words, 2, (row) => row !== 1);
  assert.equal(rowsOf(words), [
    [3, PREVIOUS_ENTRIES],
    [3, 2],
  ]);
  settlePrevious(words, 2);
  assert.equal(rowsOf(words)[1], [3, PREVIOUS_ENTRIES]);
  dropPrevious(words, 2);
  assert.is(contestedSlots(words, 2), 0);
});

/** What the fast path does with a packet, as flow.h says. */
class Model {
  readonly words: Uint32Array;
  readonly entries = new Map<number, number>();
  readonly alive: boolean[];

  constructor(
    readonly slots: number,
    members: number,
  ) {
    this.words = new Uint32Array(slots * SLOT_WORDS);
    this.alive = new Array<boolean>(members + 1).fill(true);
  }

  packet(flow: number, begins: boolean): number {
    const at = (flow % this.slots) * SLOT_WORDS;
    const current = this.words[at] ?? 0;
    const previous = this.words[at + 1] ?? 0;
    if (previous === PREVIOUS_NONE) return current;
    const known = this.entries.get(flow);
    if (known !== undefined && this.alive[known] === true) return known;
    const other =
      previous !== PREVIOUS_ENTRIES && this.alive[previous] === true ? previous : current;
    const row = begins ? current : other;
    if (previous !== PREVIOUS_ENTRIES) this.entries.set(flow, row);
    return row;
  }
}

test('no change moves a flow whose member lives, whatever the history', () => {
  const slots = 8;
  const members = 4;
  const change = fc.oneof(
    fc.record({
      kind: fc.constant('rows' as const),
      rows: fc.array(fc.integer({ min: 1, max: members }), { minLength: slots, maxLength: slots }),
    }),
    fc.record({ kind: fc.constant('begin' as const), flow: fc.nat(31) }),
    fc.record({ kind: fc.constant('packet' as const), flow: fc.nat(31) }),
    fc.record({ kind: fc.constant('settle' as const) }),
  );
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (history) => {
      const model = new Model(slots, members);
      fillSlots(model.words, slots, (slot) => (slot % members) + 1);
      const truth = new Map<number, number>();
      for (const step of history) {
        if (step.kind === 'rows') {
          moveSlots(model.words, slots, (slot) => step.rows[slot] ?? 1, true);
        } else if (step.kind === 'settle') {
          // Only when every flow that lives has sent a packet since.
          for (const flow of truth.keys()) model.packet(flow, false);
          settlePrevious(model.words, slots);
        } else if (step.kind === 'begin') {
          if (!truth.has(step.flow)) truth.set(step.flow, model.packet(step.flow, true));
        } else if (truth.has(step.flow)) {
          const seen = model.packet(step.flow, false);
          assert.is(seen, truth.get(step.flow), `flow ${step.flow} of ${JSON.stringify(history)}`);
        }
      }
      for (const [flow, row] of truth) assert.is(model.packet(flow, false), row);
    }),
    { numRuns: 2000 },
  );
});

test.run();
