/** The buffer pool: who owns what, and that a violation is caught where it happens. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BufferPool, LARGE, Owner } from '../../../../appliance/l7/ring/buffer-pool.js';
import {
  BufferOwnershipError,
  CheckedBufferPool,
  openBufferPool,
  POISON,
} from '../../../../appliance/l7/ring/checked-buffer-pool.js';

const test = suite('buffer pool');

function withPool(work: (pool: CheckedBufferPool) => void, working = 4, receiving = 4): void {
  const pool = new CheckedBufferPool({ size: 256, receiving, working });
  try {
    work(pool);
  } finally {
    pool.close();
  }
}

/** What a violation says. */
function violation(work: () => void): string {
  try {
    work();
  } catch (error) {
    assert.instance(error, BufferOwnershipError);
    return (error as BufferOwnershipError).message;
  }
  assert.unreachable('a violation passed unseen');
  return '';
}

test('gives out each working buffer once, and none when all are taken', () => {
  withPool((pool) => {
    const taken = [1, 2, 3, 4].map(() => pool.take(Owner.handler));
    assert.equal([...taken].sort(), [4, 5, 6, 7], 'those behind the receiving ones');
    assert.is(pool.take(Owner.handler), -1);
    for (const id of taken) pool.release(id, Owner.handler);
    assert.equal(pool.census(), { kernel: 4, free: 4 });
  });
});

test('large buffers are apart from the others, and as long as they are said to be', () => {
  const pool = new CheckedBufferPool({ size: 256, receiving: 3, working: 2, large: 2 });
  try {
    assert.equal(pool.census(), { kernel: 3, free: 4 });
    const [one, two] = [pool.takeLarge(), pool.takeLarge()];
    assert.is(pool.takeLarge(), -1, 'there are two');
    assert.is(Math.abs(one - two), LARGE);
    for (const id of [one, two]) {
      assert.is(pool.capacity(id), LARGE * 256);
      pool.received(id, LARGE * 256);
      pool.bytes.fill(id, id * 256, (id + LARGE) * 256);
    }
    assert.is(pool.bytes[one * 256], one & 255);
    assert.is(pool.bytes[(one + LARGE) * 256 - 1], one & 255);
    assert.is(pool.capacity(0), 256);
    pool.release(one, Owner.handler);
    assert.is(pool.bytes[(one + LARGE) * 256 - 1], POISON);
    assert.equal(pool.census(), { kernel: 3, free: 3, handler: 1 });
    assert.is(pool.takeLarge(), one, 'the last one used comes first');
    assert.match(
      violation(() => {
        pool.received(one, LARGE * 256 + 1);
      }),
      /received 2049 bytes of 2048/,
    );
  } finally {
    pool.close();
  }
});

test('a received buffer goes back to the kernel, never to the working ones', () => {
  withPool((pool) => {
    pool.received(2, 10);
    assert.is(pool.withKernel, 3);
    assert.is(pool.length[2], 10);
    assert.is(pool.ownerOf(2), 'handler');
    pool.release(2, Owner.handler);
    assert.is(pool.withKernel, 4);
    assert.is(pool.free, 4);
  });
});

test('catches a release by another than the owner, by the owners names', () => {
  withPool((pool) => {
    const head = pool.owner('request head');
    const id = pool.take(head);
    assert.is(
      violation(() => pool.release(id, Owner.handler)),
      `buffer ${id} was released as "handler" and belongs to "request head"`,
    );
    pool.release(id, head);
  });
});

test('catches a second release, a use and a passing on after release', () => {
  withPool((pool) => {
    const id = pool.take(Owner.handler);
    pool.release(id, Owner.handler);
    violation(() => pool.release(id, Owner.handler));
    violation(() => pool.release(id, Owner.free));
    violation(() => pool.check(id, Owner.handler));
    violation(() => pool.pass(id, Owner.handler, Owner.output));
    pool.received(0, 1);
    violation(() => pool.received(0, 1));
    violation(() => pool.release(99, Owner.handler));
    assert.equal(pool.census(), { kernel: 3, handler: 1, free: 4 });
    pool.release(0, Owner.handler);
  });
});

test('catches more bytes than a buffer has', () => {
  withPool((pool) => {
    violation(() => pool.received(1, 257));
  });
});

test('overwrites what a released buffer held', () => {
  withPool((pool) => {
    const id = pool.take(Owner.handler);
    pool.bytes.fill(7, id * pool.size, (id + 1) * pool.size);
    pool.release(id, Owner.handler);
    const seen = new Set(pool.bytes.subarray(id * pool.size, (id + 1) * pool.size));
    assert.equal([...seen], [POISON]);
  });
});

test('addresses follow the buffers, and none crosses a multiple of 4 GiB', () => {
  for (const size of [64, 4096, 65_536]) {
    const pool = new BufferPool({ size, receiving: 3, working: 5 });
    try {
      for (let id = 0; id < pool.count; id += 1) {
        const low = (pool.low[id] as number) >>> 0;
        assert.is(low % size, 0, `buffer ${id} of ${size} bytes is aligned`);
        const address = (BigInt(pool.high[id] as number) << 32n) | BigInt(low);
        const first =
          (BigInt(pool.high[0] as number) << 32n) | BigInt((pool.low[0] as number) >>> 0);
        assert.is(address - first, BigInt(id * size));
      }
    } finally {
      pool.close();
    }
  }
});

test('refuses sizes that it cannot serve', () => {
  assert.throws(() => new BufferPool({ size: 1000, receiving: 1, working: 0 }), /power of two/);
  assert.throws(() => new BufferPool({ size: 64, receiving: 0, working: 0 }), /from 1/);
  assert.throws(() => new BufferPool({ size: 64, receiving: 32_769, working: 0 }), /32768/);
});

test('a fair share is at least one, at most what was asked for, at most a quarter of what is left', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 0, max: 64 }), (most, gone) => {
      withPool(
        (pool) => {
          for (let id = 0; id < gone; id += 1) pool.received(id, 1);
          const share = pool.fairShare(most);
          assert.ok(share >= 1 && share <= most, `${share} of ${most}`);
          assert.ok(share === 1 || share * 4 <= 64 - gone, `${share} with ${64 - gone} left`);
        },
        0,
        64,
      );
    }),
  );
});

test('WEIR_L7_DEBUG decides about the record', () => {
  const before = process.env['WEIR_L7_DEBUG'];
  try {
    for (const [value, checked] of [
      ['1', true],
      ['0', false],
    ] as const) {
      process.env['WEIR_L7_DEBUG'] = value;
      const pool = openBufferPool({ size: 64, receiving: 1, working: 0 });
      assert.is(pool.checked, checked, `with WEIR_L7_DEBUG=${value}`);
      pool.close();
    }
  } finally {
    if (before === undefined) delete process.env['WEIR_L7_DEBUG'];
    else process.env['WEIR_L7_DEBUG'] = before;
  }
});

test.run();
