/**
 * Looks for a regular expression in octets, in time linear in them whatever the expression.
 *
 * A deterministic automaton is made of the program while inputs ask for its states, at most
 * `maxCells` transitions of them; when that is full it is forgotten and begun anew, which costs no
 * more than following the program itself, so no input and no expression is exponential.
 *
 * Invariant: memory grows while states are new, up to the bound, and never for a known input.
 * A state stands before a character: what holds there (begin, word before) is part of it, and an
 * assertion is decided when the next character, or the end, is known.
 */
import { compile, step, type Classes, type Program } from './program.js';
import { INVALID } from './ranges.js';
import { assertion, parseRegex, RegexError } from './syntax.js';

/** Transitions that one expression may remember: 256 KiB. */
const maxCells = 65_536;
const maxStates = 1024;
/** Numbers of states; known ones come after. */
const UNKNOWN = 0;
const FAILS = 1;
const MATCHES = 2;
const FIRST = 3;

const AT_START = 1;
const AFTER_WORD = 2;

/** What is wrong with an expression, as a sentence, or null. */
export function regexFault(text: string): string | null {
  try {
    compile(parseRegex(text));
    return null;
  } catch (error) {
    if (error instanceof RegexError) return error.message;
    throw error;
  }
}

export class Regex {
  private readonly program: Program;
  private readonly classes: Classes;
  /** Classes and the end of the input. */
  private readonly columns: number;
  private readonly end: number;
  private readonly anchored: boolean;
  /** Words of a state: one for what holds before it, then its steps as bits. */
  private readonly words: number;
  private readonly limit: number;
  private table: Int32Array;
  private states: Int32Array;
  /** States by hash; twice as many places as `limit`, at least. */
  private places: Int32Array;
  private count = FIRST;
  private initial = UNKNOWN;
  private readonly next: Int32Array;
  private readonly stack: Int32Array;
  private readonly visited: Uint8Array;
  /** Octets of the character that `wide` read. */
  private width = 1;

  /** Throws RegexError, whose message tells how to write the expression. */
  constructor(readonly text: string) {
    this.program = compile(parseRegex(text));
    this.classes = this.program.classes;
    this.columns = this.classes.count + 1;
    this.end = this.classes.count;
    const size = this.program.op.length;
    this.words = 1 + Math.ceil(size / 32);
    this.limit = Math.max(16, Math.min(maxStates, Math.floor(maxCells / this.columns)));
    this.table = new Int32Array(8 * this.columns);
    this.states = new Int32Array(8 * this.words);
    this.places = new Int32Array(16);
    this.next = new Int32Array(this.words);
    this.stack = new Int32Array(2 * size + 2);
    this.visited = new Uint8Array(size);
    this.anchored = this.isAnchored();
  }

  /** Whether it is found in [start, end). */
  test(bytes: Uint8Array, start: number, end: number): boolean {
    const ascii = this.classes.ascii;
    const columns = this.columns;
    let state = this.initial === UNKNOWN ? this.begin() : this.initial;
    let p = start;
    while (p < end) {
      const c = bytes[p] ?? 0;
      const column = c < 0x80 ? (ascii[c] ?? 0) : this.wide(bytes, p, end);
      p += c < 0x80 ? 1 : this.width;
      const known = this.table[state * columns + column] ?? 0;
      state = known === UNKNOWN ? this.advance(state, column) : known;
      if (state <= MATCHES) return state === MATCHES;
    }
    const known = this.table[state * columns + this.end] ?? 0;
    return (known === UNKNOWN ? this.advance(state, this.end) : known) === MATCHES;
  }

  /** Whether nothing can begin after the first character. */
  private isAnchored(): boolean {
    this.next.fill(0);
    for (const before of [0, AFTER_WORD]) {
      for (let column = 0; column < this.columns; column += 1) {
        this.visited.fill(0);
        if (this.follow(this.program.start, before, column)) return false;
      }
    }
    return this.next.every((word) => word === 0);
  }

  private begin(): number {
    this.next.fill(0);
    this.next[0] = AT_START;
    this.addNext(this.program.start);
    this.initial = this.intern();
    return this.initial;
  }

  private addNext(at: number): void {
    const word = 1 + (at >>> 5);
    this.next[word] = (this.next[word] ?? 0) | (1 << (at & 31));
  }

  /** The state after a character, or the verdict at the end; remembers it. */
  private advance(state: number, column: number): number {
    const from = state * this.words;
    const before = this.states[from] ?? 0;
    this.next.fill(0);
    this.visited.fill(0);
    let found = false;
    for (let word = 1; word < this.words && !found; word += 1) {
      let bits = this.states[from + word] ?? 0;
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        const at = (word - 1) * 32 + bit;
        // Most steps are sets, which need no walk.
        if (this.program.op[at] === step.set) this.cross(at, column);
        else if (this.follow(at, before, column)) {
          found = true;
          break;
        }
      }
    }
    let to = found ? MATCHES : FAILS;
    if (!found && column !== this.end) {
      if (!this.anchored) this.addNext(this.program.start);
      if (!this.isEmpty()) {
        if (this.classes.word[column] === 1) this.next[0] = AFTER_WORD;
        const generation = this.count;
        to = this.intern();
        // After forgetting all, `state` is no state any more.
        if (this.count < generation) return to;
      }
    }
    this.table[state * this.columns + column] = to;
    return to;
  }

  /** Over the character of `column` when the set at a step has it. */
  private cross(at: number, column: number): void {
    const { x, y, member } = this.program;
    if (column !== this.end && member[(x[at] ?? 0) * this.end + column] === 1) {
      this.addNext(y[at] ?? 0);
    }
  }

  private isEmpty(): boolean {
    for (let word = 1; word < this.words; word += 1) if (this.next[word] !== 0) return false;
    return true;
  }

  /** Adds where `column` leads from a step to `next`; true when the match is reached before it. */
  private follow(from: number, before: number, column: number): boolean {
    const { op, x, y } = this.program;
    const stack = this.stack;
    let top = 0;
    stack[top++] = from;
    while (top > 0) {
      const at = stack[--top] ?? 0;
      if (this.visited[at] === 1) continue;
      this.visited[at] = 1;
      switch (op[at]) {
        case step.set:
          this.cross(at, column);
          break;
        case step.split:
          stack[top++] = y[at] ?? 0;
          stack[top++] = x[at] ?? 0;
          break;
        case step.assertion:
          if (this.holds(x[at] ?? 0, before, column)) stack[top++] = y[at] ?? 0;
          break;
        default:
          return true;
      }
    }
    return false;
  }

  private holds(what: number, before: number, column: number): boolean {
    if (what === assertion.start) return (before & AT_START) !== 0;
    if (what === assertion.end) return column === this.end;
    const edge = ((before & AFTER_WORD) !== 0) !== (this.classes.word[column] === 1);
    return edge === (what === assertion.word);
  }

  /** The number of the state in `next`; a new one when there is none. */
  private intern(): number {
    if (this.count >= this.limit) this.forget();
    let hash = 0;
    for (let word = 0; word < this.words; word += 1) {
      hash = Math.imul(hash ^ (this.next[word] ?? 0), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const mask = this.places.length - 1;
    let place = hash & mask;
    for (;;) {
      const state = this.places[place] ?? 0;
      if (state === 0) break;
      if (this.isNext(state)) return state;
      place = (place + 1) & mask;
    }
    const state = this.count;
    this.count += 1;
    this.makeRoom();
    this.states.set(this.next, state * this.words);
    if (this.places.length === mask + 1) this.places[place] = state;
    else this.rehash();
    return state;
  }

  private isNext(state: number): boolean {
    const from = state * this.words;
    for (let word = 0; word < this.words; word += 1) {
      if (this.states[from + word] !== this.next[word]) return false;
    }
    return true;
  }

  private forget(): void {
    this.table.fill(0);
    this.places.fill(0);
    this.count = FIRST;
    this.initial = UNKNOWN;
  }

  private makeRoom(): void {
    const room = this.table.length / this.columns;
    if (this.count < room) return;
    const table = new Int32Array(2 * room * this.columns);
    table.set(this.table);
    this.table = table;
    const states = new Int32Array(2 * room * this.words);
    states.set(this.states);
    this.states = states;
    this.places = new Int32Array(4 * room);
  }

  private rehash(): void {
    const mask = this.places.length - 1;
    for (let state = FIRST; state < this.count; state += 1) {
      let hash = 0;
      for (let word = 0; word < this.words; word += 1) {
        hash = Math.imul(hash ^ (this.states[state * this.words + word] ?? 0), 0x9e3779b1);
        hash ^= hash >>> 15;
      }
      let place = hash & mask;
      while (this.places[place] !== 0) place = (place + 1) & mask;
      this.places[place] = state;
    }
  }

  /** The class of the character at `p`, which is not ASCII; its length is in `width`. */
  private wide(bytes: Uint8Array, p: number, end: number): number {
    const point = this.decode(bytes, p, end);
    const { starts, ofRange } = this.classes;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= point) low = middle;
      else high = middle - 1;
    }
    return ofRange[low] ?? 0;
  }

  /** RFC 3629 §4, to the letter: no surrogate, no overlong form. */
  private decode(bytes: Uint8Array, p: number, end: number): number {
    this.width = 1;
    const c = bytes[p] ?? 0;
    const size = c >= 0xf5 ? 0 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    if (size === 0 || p + size > end) return INVALID;
    let point = c & (0x7f >> size);
    for (let i = 1; i < size; i += 1) {
      const next = bytes[p + i] ?? 0;
      if ((next & 0xc0) !== 0x80) return INVALID;
      point = (point << 6) | (next & 0x3f);
    }
    if (size === 3 && (point < 0x800 || (point >= 0xd800 && point <= 0xdfff))) return INVALID;
    if (size === 4 && (point < 0x10000 || point > 0x10ffff)) return INVALID;
    this.width = size;
    return point;
  }
}
