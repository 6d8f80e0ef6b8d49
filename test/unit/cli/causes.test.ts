/** Members that are down, by what they have in common. */
import { NO_COUNTERS } from '../../../appliance/telemetry/rates.js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MemberRow } from '../../../appliance/api/contract.js';
import { causesOf } from '../../../appliance/cli/causes.js';

const test = suite('cli: causes');

function member(pool: string, last: number, reason: string | null, since = 0): MemberRow {
  const rates = { flowsPerSecond: 0, packetsPerSecond: 0, bitsPerSecond: 0 };
  const totals = NO_COUNTERS;
  return {
    ...{ pool, member: `10.0.0.${last}:80`, address: `10.0.0.${last}`, port: 80, weight: 1 },
    ...{ state: reason === null ? 'UP' : 'DOWN', reason: reason ?? 'monitor passes', since },
    ...{ nextHop: null, nextHopProblem: null, health: null, rates, totals },
    ...{ effectiveWeight: 1, backup: false, proxy: null },
  };
}

const texts = (rows: readonly MemberRow[]): string[] => causesOf(rows).map(({ text }) => text);

test('all well: no cause', () => {
  assert.equal(causesOf([member('web', 1, null)]), []);
});

test('one member is named', () => {
  assert.equal(texts([member('web', 1, 'connection refused'), member('web', 2, null)]), [
    'member 10.0.0.1:80 of pool web is down: connection refused',
  ]);
});

test('a pool whose members nobody knows is one cause, whatever their addresses', () => {
  const reason = (last: number): string =>
    `no MAC address known for 10.0.0.${last} (asking by ARP)`;
  const rows = [1, 2, 3].map((last) => member('web', last, reason(last), 100 - last));
  assert.equal(texts(rows), [
    'pool web: 3 of 3 members are down: no MAC address known (asking by ARP)',
  ]);
  assert.is(causesOf(rows)[0]?.since, 97, 'since the first of them');
});

test('a server that is dead in several pools is one cause', () => {
  const rows = ['web', 'dns', 'files'].flatMap((pool) => [
    member(pool, 1, 'connection refused'),
    member(pool, 2, pool === 'dns' ? 'status 500' : null),
  ]);
  assert.equal(texts(rows), [
    '10.0.0.1 is down in 3 pools (dns, files, web): connection refused',
    'member 10.0.0.2:80 of pool dns is down: status 500',
  ]);
});

test('other reasons are other causes', () => {
  assert.equal(texts([member('web', 1, 'status 500'), member('web', 2, 'connection refused')]), [
    'member 10.0.0.1:80 of pool web is down: status 500',
    'member 10.0.0.2:80 of pool web is down: connection refused',
  ]);
});

test('every member that is down is in exactly one cause', () => {
  const reasons = ['a', 'b', null];
  const rows = Array.from({ length: 60 }, (_, index) =>
    member(`pool${index % 7}`, index % 11, reasons[index % 3] ?? null),
  );
  const named = causesOf(rows).flatMap(({ members }) => members);
  const down = rows.filter(({ state }) => state === 'DOWN');
  assert.is(named.length, down.length);
  assert.is(new Set(named).size, down.length);
});

test.run();
