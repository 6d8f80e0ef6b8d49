/** When the hardware watchdog is fed. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lookAt } from '../../../appliance/system/health/well.js';

const test = suite('the health of the box');
const asked = (revision: number | null, services: number, attached: number) => ({
  status: async () => ({ revision, services }),
  attached: async () => attached,
});

test('a box without services is well', async () => {
  assert.ok((await lookAt(asked(null, 0, 0))).well);
  assert.ok((await lookAt(asked(3, 0, 0))).well);
});

test('services need the fast path on an interface', async () => {
  assert.ok((await lookAt(asked(3, 2, 1))).well);
  const seen = await lookAt(asked(3, 2, 0));
  assert.not(seen.well);
  assert.match(seen.why, /on no interface/);
});

test('a daemon that does not answer is not well, and the reason is said', async () => {
  const seen = await lookAt({
    status: () => Promise.reject(new Error('no socket')),
    attached: async () => 1,
  });
  assert.not(seen.well);
  assert.match(seen.why, /no socket/);
});

test.run();
