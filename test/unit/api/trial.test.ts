/** POST /v1/config/trial: the document reaches the daemon as it was sent, and nothing else does. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ErrorBody, Trial } from '../../../appliance/api/contract.js';
import { PortError } from '../../../appliance/api/port.js';
import { TRIAL } from './fake-daemon.js';
import { call, JSON_TYPE, withApi, YAML } from './fixture.js';

const test = suite('api: trial of a document');
const sent = { method: 'POST', path: '/v1/config/trial' } as const;
const document = { version: 1, unit: { name: 'weir-a' } };

test('a document in JSON or YAML is tried, and what its members said is answered', () =>
  withApi(async ({ socket, daemon }) => {
    const json = await call(socket, {
      ...sent,
      headers: JSON_TYPE,
      body: JSON.stringify(document),
    });
    assert.equal([json.status, json.json() as Trial], [200, TRIAL]);
    assert.equal(daemon.last('trial'), { document });
    const text = 'version: 1 # as typed\n';
    const yaml = await call(socket, { ...sent, headers: YAML, body: text });
    assert.is(yaml.status, 200);
    assert.equal(daemon.last('trial'), { text });
    const changed = daemon.asked.filter(({ method }) => method === 'apply');
    assert.equal(changed, [], 'nothing is applied');
  }));

test('what is no document, and what has a query, is refused before the daemon hears of it', () =>
  withApi(async ({ socket, daemon }) => {
    const said = async (body: string, query = ''): Promise<[number, string]> => {
      const path = `${sent.path}${query}`;
      const answer = await call(socket, { ...sent, path, headers: JSON_TYPE, body });
      return [answer.status, (answer.json() as ErrorBody).error.code];
    };
    assert.equal(await said(''), [400, 'syntax']);
    assert.equal(await said('{'), [400, 'syntax']);
    assert.equal(await said('[]'), [422, 'invalid']);
    assert.equal(await said(JSON.stringify(document), '?dry-run=true'), [400, 'bad-request']);
    assert.is(daemon.last('trial'), undefined);
  }));

test('what the daemon finds wrong with the document is answered in its words', () =>
  withApi(async ({ socket, daemon }) => {
    const details = [{ code: 'value', path: 'pools.web', message: 'is missing' }] as const;
    daemon.failures.set(
      'trial',
      new PortError('invalid', 'The document is not valid.', { details }),
    );
    const answer = await call(socket, { ...sent, headers: JSON_TYPE, body: '{}' });
    assert.is(answer.status, 422);
    const { error } = answer.json() as ErrorBody;
    assert.equal([error.message, error.details], ['The document is not valid.', details]);
  }));

test.run();
