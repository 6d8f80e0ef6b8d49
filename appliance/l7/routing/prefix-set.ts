/**
 * Whether an address lies in one of many prefixes: a binary tree of their bits, IPv4 as
 * ::ffff:0:0/96 (RFC 4291 §2.5.5.2), at most 128 steps however many there are.
 *
 * Invariant: a node that ends a prefix has no children that matter.
 */
import { parsePrefix } from '../../config/addresses.js';

const ENDS = -1;

export class PrefixSet {
  /** Two words a node: where 0 and 1 lead; 0: nowhere, ENDS: a prefix ends. */
  private readonly nodes: Int32Array;

  /** Throws RangeError for a text that is no prefix: the configuration was checked before. */
  constructor(prefixes: readonly string[]) {
    const nodes: number[] = [0, 0];
    for (const text of prefixes) {
      const prefix = parsePrefix(text);
      if (!prefix.ok) throw new RangeError(prefix.message);
      const { address, length } = prefix.value;
      const mapped = address.family === 4;
      const bytes = mapped
        ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...address.bytes]
        : [...address.bytes];
      insert(nodes, bytes, mapped ? length + 96 : length);
    }
    this.nodes = Int32Array.from(nodes);
  }

  has(address: Uint8Array): boolean {
    const nodes = this.nodes;
    let node = 0;
    if (nodes[0] === ENDS) return true;
    for (let bit = 0; bit < 128; bit += 1) {
      const one = ((address[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
      node = nodes[2 * node + one] ?? 0;
      if (node <= 0) return node === ENDS;
    }
    return false;
  }
}

function insert(nodes: number[], bytes: readonly number[], length: number): void {
  if (length === 0) {
    nodes[0] = ENDS;
    nodes[1] = ENDS;
    return;
  }
  let node = 0;
  for (let bit = 0; bit < length; bit += 1) {
    const at = 2 * node + (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    if (nodes[at] === ENDS) return;
    if (bit === length - 1) {
      nodes[at] = ENDS;
      return;
    }
    if (nodes[at] === 0) {
      nodes[at] = nodes.length / 2;
      nodes.push(0, 0);
    }
    node = nodes[at] ?? 0;
  }
}
