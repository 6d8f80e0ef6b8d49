/** A disk that loses writes must lose none that was flushed, and no more than parts of the others. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SECTOR, VolatileCache } from '../../support/lossy-disk.js';
import { generator } from '../../support/random.js';

const SECTORS = 64;
const test = suite('lossy-disk');

function withCache(act: (cache: VolatileCache) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'weir-lossy-'));
  try {
    const path = join(folder, 'disk');
    writeFileSync(path, Buffer.alloc(SECTORS * SECTOR));
    const cache = new VolatileCache(path);
    try {
      act(cache);
    } finally {
      cache.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What each sector is full of; fails where one is a mixture. */
function contents(cache: VolatileCache): number[] {
  return Array.from({ length: SECTORS }, (_, at) => {
    const sector = cache.read(at * SECTOR, SECTOR);
    const first = sector[0] ?? -1;
    assert.ok(
      sector.every((octet) => octet === first),
      `sector ${at} is a mixture`,
    );
    return first;
  });
}

test('a sector has after a loss what it had at the last flush, or something written since', () => {
  const random = generator(20261127);
  let [lost, kept] = [0, 0];
  for (let round = 0; round < 100; round++) {
    withCache((cache) => {
      const possible = Array.from({ length: SECTORS }, () => [0]);
      for (let value = 1; value <= 40; value++) {
        const from = random(SECTORS);
        const count = 1 + random(Math.min(8, SECTORS - from));
        cache.write(from * SECTOR, Buffer.alloc(count * SECTOR, value));
        for (let at = from; at < from + count; at++) possible[at]?.push(value);
        assert.is(contents(cache)[from], value, 'what was written is read');
        if (random(12) === 0) {
          cache.flush();
          for (const values of possible) values.splice(0, values.length - 1);
        }
      }
      cache.loseUnflushed(random);
      for (const [at, value] of contents(cache).entries()) {
        const values = possible[at] ?? [];
        assert.ok(
          values.includes(value),
          `sector ${at} has ${value}, and not one of ${values.join()}`,
        );
        if (values.length > 1 && value === values.at(-1)) kept += 1;
        if (values.length > 1 && value === values[0]) lost += 1;
      }
    });
  }
  assert.ok(lost > 100, `${lost} sectors are as at the last flush`);
  assert.ok(kept > 100, `${kept} sectors are as they were written last`);
});

test('nothing is lost after a flush, and a loss is told', () => {
  withCache((cache) => {
    cache.write(0, Buffer.alloc(8 * SECTOR, 1));
    cache.flush();
    assert.equal(
      cache.loseUnflushed(() => 2),
      { writes: 0, sectors: 0, lost: 0 },
    );
    cache.write(4 * SECTOR, Buffer.alloc(8 * SECTOR, 2));
    assert.equal(
      cache.loseUnflushed(() => 2),
      { writes: 1, sectors: 8, lost: 8 },
    );
    assert.equal(contents(cache).slice(0, 12), [...Array<number>(8).fill(1), 0, 0, 0, 0]);
  });
});

test.run();
