/** The keys of session tickets: replaced in time, kept for the next daemon, and for nobody else. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rotated, TicketKeys } from '../../../appliance/tls/ticket-keys.js';

const test = suite('ticket keys');
const HOUR = 3_600_000;

test('a key makes tickets for 12 hours and opens them for 12 more', () => {
  let made = 0;
  const make = (): Buffer => Buffer.alloc(80, (made += 1));
  let keys = rotated([], 0, make);
  const seen: string[] = [];
  for (let hour = 0; hour <= 36; hour += 6) {
    keys = rotated(keys, hour * HOUR, make);
    seen.push(keys.map(({ key }) => key[0]).join());
  }
  assert.equal(seen, ['1', '1', '2,1', '2,1', '3,2', '3,2', '4,3']);
});

test('a clock that was set back makes a new key, and forgets those of the future', () => {
  const old = [{ key: Buffer.alloc(80, 1), made: 100 * HOUR }];
  const keys = rotated(old, 0, () => Buffer.alloc(80, 2));
  assert.equal(
    keys.map(({ key }) => key[0]),
    [2],
  );
});

test('the next daemon goes on with the same keys; the file is its owner’s alone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-tickets-'));
  const file = join(folder, 'ticket-keys');
  let now = 1000;
  const errors: unknown[] = [];
  const open = (): TicketKeys =>
    new TicketKeys({
      file,
      now: () => now,
      onChange: () => undefined,
      onError: (error) => errors.push(error),
    });
  try {
    const first = open();
    const [key] = first.keys;
    first.close();
    assert.is(statSync(file).mode & 0o777, 0o600);
    now += HOUR;
    const second = open();
    assert.equal(second.keys, [key]);
    second.close();
    now += 12 * HOUR;
    const third = open();
    assert.is(third.keys.length, 2);
    assert.equal(third.keys[1], key);
    third.close();
    writeFileSync(file, `nonsense\n12 AAAA\n${readFileSync(file, 'utf8').slice(0, 20)}`);
    const fourth = open();
    assert.is(fourth.keys.length, 1, 'a damaged file is as none');
    fourth.close();
    assert.equal(errors, []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('keys that cannot be written down are used all the same, and that is told', () => {
  const errors: unknown[] = [];
  const keys = new TicketKeys({
    file: '/proc/no/such/place',
    onChange: () => undefined,
    onError: (error) => errors.push(error),
  });
  assert.is(keys.keys.length, 1);
  assert.is(errors.length, 1);
  keys.close();
});

test.run();
