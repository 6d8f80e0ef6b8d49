/** Edges of records in bytes that come in any pieces. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RecordEdges } from '../../../../appliance/l7/tls/records.js';

const test = suite('edges of TLS records');

const records = fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 8 });

function streamOf(sizes: readonly number[]): { bytes: Uint8Array; ends: Set<number> } {
  const ends = new Set([0]);
  const pieces = sizes.map((size) => {
    // Octets of the body that look like lengths must not be taken for such.
    const piece = Buffer.alloc(5 + size, 0xff);
    piece.set([23, 3, 3, size >> 8, size & 255]);
    return piece;
  });
  let at = 0;
  for (const { length } of pieces) ends.add((at += length));
  return { bytes: Buffer.concat(pieces), ends };
}

test('wherever the bytes are cut, edges are found, and the first part ends at the next one', () => {
  fc.assert(
    fc.property(
      records,
      fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }),
      (sizes, cuts) => {
        const { bytes, ends } = streamOf(sizes);
        const edges = new RecordEdges(4);
        edges.begin(2);
        let at = 0;
        for (let turn = 0; at < bytes.length; turn += 1) {
          const end = Math.min(bytes.length, at + (cuts[turn % cuts.length] ?? 1));
          assert.is(edges.atEdge(2), ends.has(at), `at ${at} of ${sizes.join()}`);
          if (!edges.atEdge(2)) {
            const next = Math.min(...[...ends].filter((one) => one > at));
            assert.is(
              edges.firstPart(2, bytes, at, end),
              Math.min(next, end) - at,
              `first part at ${at}`,
            );
          }
          edges.pass(2, bytes, at, end);
          at = end;
        }
        assert.ok(edges.atEdge(2));
      },
    ),
  );
});

test('a slot that begins anew knows nothing of the one before, nor of others', () => {
  const edges = new RecordEdges(2);
  edges.begin(0);
  edges.begin(1);
  edges.pass(0, Uint8Array.of(23, 3, 3, 0), 0, 4);
  assert.not(edges.atEdge(0));
  assert.ok(edges.atEdge(1));
  edges.begin(0);
  assert.ok(edges.atEdge(0));
});

test.run();
