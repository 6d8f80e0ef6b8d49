/** The scene of the layer-7 benchmark as Weir's own document. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { POOLS, sceneAt } from '../../bench/l7-scene.js';
import { weirTables } from '../../bench/l7-weir.js';

const test = suite('the scene of the layer-7 benchmark, for Weir');

const made = sceneAt(
  [9000, 9100].map((first) => Array.from({ length: POOLS }, (_, pool) => first + pool)),
);
const tables = weirTables(made, { port: 8000, tls: { ecdsa: 8001, rsa: 8002 } }, 2);

test('every route of the scene leads to its pool, with its edits', () => {
  const service = tables.services.get('bench');
  assert.equal(
    service?.routes.map(({ when, action }) => ({
      host: when?.hosts?.[0],
      path: when?.paths?.[0]?.value,
      pool: action.kind === 'pools' ? action.pools[0]?.pool : null,
    })),
    made.routes.map(({ host, path, pool }) => ({ host, path: `${path}**`, pool })),
  );
  for (const route of service?.routes ?? []) {
    assert.equal(route.requestEdits, [
      { action: 'remove', name: 'X-Debug' },
      { action: 'set', name: 'X-Edge', value: 'bench' },
    ]);
    assert.equal(route.responseEdits, [{ action: 'set', name: 'X-Served-By', value: 'bench' }]);
  }
});

test('clients are kept by a plain cookie, members are told of them, nothing is logged', () => {
  const service = tables.services.get('bench');
  const persistence = service?.persistence;
  assert.is(persistence?.kind === 'cookie' ? persistence.protection : '', 'plain');
  assert.is(persistence?.kind === 'cookie' ? persistence.name : '', 'SRV');
  assert.is(service?.forward.forwardedFor, 'append');
  assert.is(service?.accessLog, null);
});

test('every member serves without being asked for its health, and keeps enough connections', () => {
  assert.is(tables.unit.workers, 2);
  assert.is(tables.pools.size, made.pools.length);
  for (const { name, members } of made.pools) {
    const pool = tables.pools.get(name);
    assert.is(pool?.idleConnections, 4096);
    assert.equal(
      pool?.members.map(({ address, port, takes }) => ({ address, port, takes })),
      members.map(({ address, port }) => ({ address, port, takes: true })),
    );
  }
});

test.run();
