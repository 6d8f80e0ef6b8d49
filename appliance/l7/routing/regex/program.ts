/**
 * An expression as the program of a nondeterministic automaton (Thompson's construction), and
 * the classes of characters that it can tell apart.
 *
 * Invariant: `op`, `x` and `y` are closed: every target is a step of the program, and the last
 * step reached is `match`.
 */
import { includes, INVALID, wordCharacters, type Ranges } from './ranges.js';
import { assertion, type RegexNode } from './syntax.js';

export const step = { set: 0, split: 1, assertion: 2, match: 3 } as const;

export interface Program {
  readonly op: Uint8Array;
  /** set: number of the set. split: one way. assertion: what. */
  readonly x: Int32Array;
  /** set and assertion: the next step. split: the other way. */
  readonly y: Int32Array;
  readonly start: number;
  /** Whether it asks for the ends of words. */
  readonly words: boolean;
  readonly classes: Classes;
  /** member[set * classes.count + class] is 1: the set has the characters of the class. */
  readonly member: Uint8Array;
}

/** Characters that no set tells apart are one class. */
export interface Classes {
  readonly count: number;
  readonly ascii: Uint16Array;
  /** Where each range begins, and its class. */
  readonly starts: Int32Array;
  readonly ofRange: Uint16Array;
  /** 1: the characters of the class belong to words. */
  readonly word: Uint8Array;
}

class Builder {
  readonly op: number[] = [];
  readonly x: number[] = [];
  readonly y: number[] = [];
  readonly sets: Ranges[] = [];
  words = false;
  private readonly setNumbers = new Map<string, number>();

  emit(op: number, x: number, y: number): number {
    this.op.push(op);
    this.x.push(x);
    this.y.push(y);
    return this.op.length - 1;
  }

  private setNumber(set: Ranges): number {
    const key = set.join();
    const known = this.setNumbers.get(key);
    if (known !== undefined) return known;
    this.setNumbers.set(key, this.sets.length);
    return this.sets.push(set) - 1;
  }

  /** Steps for a node that go on at `next`; returns the first. */
  add(node: RegexNode, next: number): number {
    switch (node.kind) {
      case 'set':
        return this.emit(step.set, this.setNumber(node.set), next);
      case 'assertion':
        if (node.what === assertion.word || node.what === assertion.noWord) this.words = true;
        return this.emit(step.assertion, node.what, next);
      case 'sequence':
        return node.parts.reduceRight((after, part) => this.add(part, after), next);
      case 'choice':
        return node.parts
          .map((part) => this.add(part, next))
          .reduceRight((rest, one) => this.emit(step.split, one, rest));
      case 'repeat':
        return this.repeat(node.part, node.min, node.max, next);
    }
  }

  private repeat(part: RegexNode, min: number, max: number, next: number): number {
    let at = next;
    let left = min;
    if (max === Infinity) {
      const loop = this.emit(step.split, next, next);
      const body = this.add(part, loop);
      this.x[loop] = body;
      at = loop;
      if (left > 0) {
        at = body;
        left -= 1;
      }
    } else {
      for (let i = min; i < max; i += 1) at = this.emit(step.split, this.add(part, at), next);
    }
    for (; left > 0; left -= 1) at = this.add(part, at);
    return at;
  }
}

export function compile(tree: RegexNode): Program {
  const builder = new Builder();
  const match = builder.emit(step.match, 0, 0);
  const start = builder.add(tree, match);
  const { sets, words } = builder;
  const classes = classesOf(sets, words);
  const member = new Uint8Array(sets.length * classes.count);
  for (const [number, set] of sets.entries()) {
    for (const [i, from] of classes.starts.entries()) {
      if (includes(set, from)) member[number * classes.count + (classes.ofRange[i] ?? 0)] = 1;
    }
  }
  return {
    op: Uint8Array.from(builder.op),
    x: Int32Array.from(builder.x),
    y: Int32Array.from(builder.y),
    start,
    words,
    classes,
    member,
  };
}

function classesOf(sets: readonly Ranges[], words: boolean): Classes {
  const all = words ? [...sets, wordCharacters] : sets;
  const edges = new Set([0, INVALID]);
  for (const set of all) {
    for (let i = 0; i < set.length; i += 2) {
      edges.add(set[i] ?? 0);
      if ((set[i + 1] ?? 0) < INVALID) edges.add((set[i + 1] ?? 0) + 1);
    }
  }
  const starts = [...edges].sort((a, b) => a - b);
  const numbers = new Map<string, number>();
  const ofRange = starts.map((from) => {
    const key = all.map((set) => (includes(set, from) ? '1' : '0')).join('');
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, numbers.size);
    return numbers.size - 1;
  });
  const word = new Uint8Array(numbers.size);
  for (const [i, from] of starts.entries()) {
    if (words && includes(wordCharacters, from)) word[ofRange[i] ?? 0] = 1;
  }
  const classAt = (point: number): number =>
    ofRange[starts.findLastIndex((from) => from <= point)] ?? 0;
  return {
    count: numbers.size,
    ascii: Uint16Array.from({ length: 128 }, (_, point) => classAt(point)),
    starts: Int32Array.from(starts),
    ofRange: Uint16Array.from(ofRange),
    word,
  };
}
