/** Rows by name: stable, given back to those who return, and used again as late as possible. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import { noRow, RowRegistry } from '../../../../appliance/l7/telemetry/row-registry.js';

const test = suite('l7 telemetry: rows');

test('a name keeps its row while others come and go', () => {
  const registry = new RowRegistry(10);
  const first = registry.assign(['a', 'b', 'c']);
  assert.equal(
    [...first.rows],
    [
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ],
  );
  assert.equal(first.taken[0], { row: 1, formerly: null, name: 'a' });
  const second = registry.assign(['c', 'd']);
  assert.equal(
    [...second.rows],
    [
      ['c', 3],
      ['d', 4],
    ],
  );
  assert.is(registry.rowOf('a'), noRow);
  assert.is(registry.used, 5);
});

test('who returns gets the old row back, also when a new name comes in the same step', () => {
  const registry = new RowRegistry(3);
  registry.assign(['a', 'b']);
  registry.assign(['b']);
  const back = registry.assign(['new', 'a', 'b']);
  assert.equal(
    [...back.rows],
    [
      ['new', noRow],
      ['a', 1],
      ['b', 2],
    ],
  );
  assert.equal(back.taken, []);
  assert.equal(back.left, ['new']);
});

test('the row that is free for longest is used again first, and only when no other is left', () => {
  const registry = new RowRegistry(5);
  registry.assign(['a', 'b', 'c']);
  registry.assign(['a', 'c']);
  registry.assign([]);
  assert.is(registry.assign(['d']).rows.get('d'), 4);
  const changes = registry.assign(['d', 'e', 'f']);
  assert.equal(changes.taken, [
    { row: 2, formerly: 'b', name: 'e' },
    { row: 1, formerly: 'a', name: 'f' },
  ]);
});

test('a registry without room for any name is refused', () => {
  assert.throws(() => new RowRegistry(1), /at least 2 rows/);
  assert.throws(() => new RowRegistry(2.5), /at least 2 rows/);
});

test('whatever is assigned, no row has two owners and nobody who stays is moved', () => {
  const names = fc.uniqueArray(fc.integer({ min: 0, max: 14 }).map(String));
  fc.assert(
    fc.property(fc.array(names, { maxLength: 20 }), (steps) => {
      const registry = new RowRegistry(8);
      let before: ReadonlyMap<string, number> = new Map();
      for (const step of steps) {
        const { rows, left, taken } = registry.assign(step);
        const held = [...rows.values()].filter((row) => row !== noRow);
        assert.is(new Set(held).size, held.length, 'a row has two owners');
        assert.equal(
          left,
          step.filter((name) => rows.get(name) === noRow),
        );
        assert.ok(left.length === 0 || held.length === 7, 'a name is left though there is room');
        for (const [name, row] of before) {
          if (row !== noRow && rows.has(name)) assert.is(rows.get(name), row, `${name} was moved`);
        }
        for (const { name, row } of taken) {
          assert.is(rows.get(name), row);
          assert.ok(row > 0 && row < 8);
        }
        before = rows;
      }
    }),
  );
});

test.run();
