/**
 * What stands in the slots of a lookup table, and how a table becomes another one without moving
 * a flow that nobody keeps a list of (native/bpf/tables.h, struct weir_slot).
 *
 * A slot is two words: the row of its member, and of the member that it had before. Flows that
 * began under the former one have no entry; as long as it is named, a packet without an entry is
 * its, and each flow that begins gets an entry. So when the slot changes once more, the first
 * former member stays: everything later has an entry.
 *
 * Invariant: at every instant between two stores a packet finds the old state or the new one.
 * The former member is therefore written before the slot gets its new one.
 */
export const PREVIOUS_NONE = 0;
/** There may be entries; what has none is the slot's own. */
export const PREVIOUS_ENTRIES = 0xffff_ffff;
/** 32-bit words of a slot. */
export const SLOT_WORDS = 2;

/** Row of the member that a slot is to have. */
export type Wanted = (slot: number) => number;

/** Whether flows without an entry may be a former member's; else they are the slot's own. */
function namesMember(previous: number): boolean {
  return previous !== PREVIOUS_NONE && previous !== PREVIOUS_ENTRIES;
}

/**
 * Brings a table to what is wanted. `remember`: the table is one that a hash picks from, so its
 * flows have no entries. Returns how many slots changed.
 */
export function moveSlots(
  words: Uint32Array,
  slots: number,
  wanted: Wanted,
  remember: boolean,
): number {
  let written = 0;
  for (let slot = 0; slot < slots; slot++) {
    const at = slot * SLOT_WORDS;
    const before = words[at]!;
    const now = wanted(slot);
    if (!remember && words[at + 1] !== PREVIOUS_NONE) words[at + 1] = PREVIOUS_NONE;
    if (before === now) continue;
    if (remember && before !== 0 && !namesMember(words[at + 1]!)) words[at + 1] = before;
    words[at] = now;
    written++;
  }
  return written;
}

/** Fills a table that no packet sees yet. */
export function fillSlots(words: Uint32Array, slots: number, wanted: Wanted): number {
  for (let slot = 0; slot < slots; slot++) {
    words[slot * SLOT_WORDS] = wanted(slot);
    words[slot * SLOT_WORDS + 1] = PREVIOUS_NONE;
  }
  return slots;
}

/**
 * Fills a table that no packet sees yet as the successor of a smaller one: slot i lies in slot
 * ⌊i ÷ factor⌋ of the smaller, so its flows were those of that one's member.
 */
export function growSlots(
  from: Uint32Array,
  words: Uint32Array,
  slots: number,
  factor: number,
  wanted: Wanted,
): number {
  for (let slot = 0; slot < slots; slot++) {
    const parent = Math.floor(slot / factor) * SLOT_WORDS;
    const now = wanted(slot);
    const before = from[parent]!;
    const previous = from[parent + 1]!;
    words[slot * SLOT_WORDS] = now;
    words[slot * SLOT_WORDS + 1] =
      namesMember(previous) || before === now || before === 0 ? previous : before;
  }
  return slots;
}

/** Forgets former members whose rows are about to be somebody else's. */
export function forgetPrevious(
  words: Uint32Array,
  slots: number,
  stays: (row: number) => boolean,
): void {
  for (let at = 1; at < slots * SLOT_WORDS; at += SLOT_WORDS) {
    const previous = words[at]!;
    if (namesMember(previous) && !stays(previous)) words[at] = PREVIOUS_ENTRIES;
  }
}

/**
 * Every flow that lives has an entry by now, if the slot has changed since it began: former
 * members need not be named any more.
 */
export function settlePrevious(words: Uint32Array, slots: number): void {
  for (let at = 1; at < slots * SLOT_WORDS; at += SLOT_WORDS) {
    if (words[at] !== PREVIOUS_NONE) words[at] = PREVIOUS_ENTRIES;
  }
}

/** Flows may have entries from a time when all of them had one. */
export function keepEntries(words: Uint32Array, slots: number): void {
  for (let at = 1; at < slots * SLOT_WORDS; at += SLOT_WORDS) {
    if (words[at] === PREVIOUS_NONE) words[at] = PREVIOUS_ENTRIES;
  }
}

/** No entry says anything else than its slot: none is looked for any more. */
export function dropPrevious(words: Uint32Array, slots: number): void {
  for (let at = 1; at < slots * SLOT_WORDS; at += SLOT_WORDS) {
    if (words[at] === PREVIOUS_ENTRIES) words[at] = PREVIOUS_NONE;
  }
}

/**
 * Makes packets of a slot look for entries, since one may come that says `row`. False when a packet
 * without an entry goes there anyway, so that none is needed.
 */
export function expectEntry(words: Uint32Array, slot: number, row: number): boolean {
  const at = slot * SLOT_WORDS;
  if (namesMember(words[at + 1]!)) return true;
  if (words[at] === row) return false;
  if (words[at + 1] === PREVIOUS_NONE) words[at + 1] = PREVIOUS_ENTRIES;
  return true;
}

/** Slots whose packets look for an entry. */
export function contestedSlots(words: Uint32Array, slots: number): number {
  let count = 0;
  for (let at = 1; at < slots * SLOT_WORDS; at += SLOT_WORDS) {
    if (words[at] !== PREVIOUS_NONE) count++;
  }
  return count;
}
