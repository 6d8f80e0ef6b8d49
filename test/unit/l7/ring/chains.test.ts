/** Chains of slices against a model that is an array of bytes. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Owner } from '../../../../appliance/l7/ring/buffer-pool.js';
import {
  BufferOwnershipError,
  CheckedBufferPool,
} from '../../../../appliance/l7/ring/checked-buffer-pool.js';
import { Chains } from '../../../../appliance/l7/ring/chains.js';

const test = suite('chains');

const SIZE = 64;
const CHAINS = 3;

function bytesOf(chains: Chains, chain: number): number[] {
  const { pool } = chains;
  const all: number[] = [];
  for (let id = chains.head[chain] as number; id >= 0; id = pool.next[id] as number) {
    const begin = id * pool.size + (pool.start[id] as number);
    all.push(...pool.bytes.subarray(begin, begin + (pool.length[id] as number)));
  }
  return all;
}

/** A fresh buffer that holds `bytes` from `start` on. */
function filled(pool: CheckedBufferPool, start: number, bytes: readonly number[]): number {
  const id = pool.take(Owner.handler);
  if (id < 0) return id;
  pool.bytes.set(bytes, id * pool.size + start);
  pool.start[id] = start;
  pool.length[id] = bytes.length;
  return id;
}

type Step =
  | {
      readonly does: 'append';
      readonly chain: number;
      readonly start: number;
      readonly bytes: number[];
    }
  | { readonly does: 'copy'; readonly chain: number; readonly bytes: number[] }
  | { readonly does: 'consume'; readonly chain: number; readonly count: number }
  | { readonly does: 'shift'; readonly chain: number }
  | { readonly does: 'clear'; readonly chain: number }
  | { readonly does: 'move'; readonly chain: number; readonly to: number };

const chain = fc.nat(CHAINS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.nat(SIZE).chain((start) =>
    fc.record({
      does: fc.constant('append' as const),
      chain,
      start: fc.constant(start),
      bytes: fc.array(fc.nat(200), { maxLength: SIZE - start }),
    }),
  ),
  fc.record({
    does: fc.constant('copy' as const),
    chain,
    bytes: fc.array(fc.nat(200), { maxLength: 3 * SIZE }),
  }),
  fc.record({ does: fc.constant('consume' as const), chain, count: fc.nat(3 * SIZE) }),
  fc.record({ does: fc.constant('shift' as const), chain }),
  fc.record({ does: fc.constant('clear' as const), chain }),
  fc.record({ does: fc.constant('move' as const), chain, to: chain }),
);

test('hold what was put into them, in order, and give every buffer back', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const pool = new CheckedBufferPool({ size: SIZE, receiving: 1, working: 12 });
      try {
        const one = new Chains(pool, CHAINS, pool.owner('one'));
        const other = new Chains(pool, CHAINS, pool.owner('other'));
        const model: number[][] = Array.from({ length: 2 * CHAINS }, () => []);
        for (const it of steps) {
          const of = model[it.chain]!;
          switch (it.does) {
            case 'append': {
              const id = filled(pool, it.start, it.bytes);
              if (id < 0) break;
              one.append(it.chain, id, Owner.handler);
              of.push(...it.bytes);
              break;
            }
            case 'copy': {
              const done = one.copyIn(it.chain, Uint8Array.from(it.bytes), 0, it.bytes.length);
              assert.ok(done === it.bytes.length || pool.free === 0, 'short only without buffers');
              of.push(...it.bytes.slice(0, done));
              break;
            }
            case 'consume':
              one.consume(it.chain, it.count);
              of.splice(0, it.count);
              break;
            case 'shift': {
              const id = one.shift(it.chain, Owner.handler);
              if (id < 0) {
                assert.is(of.length, 0);
                break;
              }
              const begin = id * SIZE + pool.start[id]!;
              const got = [...pool.bytes.subarray(begin, begin + pool.length[id]!)];
              assert.equal(got, of.splice(0, got.length));
              pool.release(id, Owner.handler);
              break;
            }
            case 'clear':
              one.clear(it.chain);
              of.length = 0;
              break;
            case 'move':
              one.moveTo(it.chain, other, it.to);
              model[CHAINS + it.to]!.push(...of);
              of.length = 0;
              break;
          }
          for (let index = 0; index < CHAINS; index += 1) {
            assert.equal(bytesOf(one, index), model[index], `chain ${index} after ${it.does}`);
            assert.is(one.bytes[index], model[index]!.length);
            assert.equal(bytesOf(other, index), model[CHAINS + index]);
            assert.is(other.bytes[index], model[CHAINS + index]!.length);
          }
        }
        for (let index = 0; index < CHAINS; index += 1) {
          one.clear(index);
          other.clear(index);
          assert.is((one.buffers[index] ?? 0) + (other.buffers[index] ?? 0), 0);
        }
        assert.equal(pool.census(), { kernel: 1, free: 12 });
      } finally {
        pool.close();
      }
    }),
    { numRuns: 300 },
  );
});

test('bytes that come one at a time share a buffer', () => {
  const pool = new CheckedBufferPool({ size: SIZE, receiving: 1, working: 12 });
  try {
    const chains = new Chains(pool, 1, Owner.output);
    for (let index = 0; index < 5 * SIZE; index += 1) {
      chains.append(0, filled(pool, 0, [index % 200]), Owner.handler);
    }
    assert.is(chains.buffers[0], 5);
    assert.is(chains.bytes[0], 5 * SIZE);
  } finally {
    pool.close();
  }
});

test('what the kernel is sending cannot be taken out', () => {
  const pool = new CheckedBufferPool({ size: SIZE, receiving: 1, working: 2 });
  try {
    const chains = new Chains(pool, 1, Owner.output);
    const id = filled(pool, 0, [1, 2, 3]);
    chains.append(0, id, Owner.handler);
    pool.pass(id, Owner.output, Owner.sending);
    assert.throws(
      () => chains.consume(0, 3),
      (error: unknown) => error instanceof BufferOwnershipError,
    );
  } finally {
    pool.close();
  }
});

test.run();
