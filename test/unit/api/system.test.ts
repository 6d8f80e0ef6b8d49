/** The paths of the unit as a machine: who may use them. */
import Fastify from 'fastify';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { addSystem } from '../../../appliance/api/system-routes.js';
import { needs } from '../../support/needs.js';
import { FakeDaemon } from './fake-daemon.js';
import { call, JSON_TYPE, withApi } from './fixture.js';

const test = suite('api: system');

test('all but looking is for root', async () => {
  const daemon = new FakeDaemon();
  const app = Fastify();
  const codes: string[] = [];
  app.setErrorHandler((error, _request, reply) => {
    codes.push(error instanceof PortError ? error.code : String(error));
    return reply.status(403).send();
  });
  addSystem(app, { daemon, authorOf: () => 'eve', isProven: () => false });
  try {
    assert.is((await app.inject({ method: 'GET', url: '/v1/system' })).statusCode, 200);
    const paths = ['backup', 'inspect', 'restore', 'support-bundle', 'factory-reset', 'power'];
    for (const path of paths) {
      await app.inject({ method: 'POST', url: `/v1/system/${path}` });
    }
    assert.equal(
      codes,
      paths.map(() => 'forbidden'),
    );
    assert.equal(daemon.system.asked, []);
  } finally {
    await app.close();
  }
});

needs.root(test)('a key that nobody knows is refused', () =>
  withApi(async ({ daemon, socket }) => {
    const { status } = await call(socket, {
      ...{ method: 'POST', path: '/v1/system/factory-reset', headers: JSON_TYPE },
      body: JSON.stringify({ name: 'weir-a', 'keep-log': true }),
    });
    assert.is(status, 400);
    assert.equal(daemon.system.asked, []);
  }),
);

test.run();
