/** What is recorded of HAProxy and nginx is about this corpus, and every difference is explained. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { differences } from '../../../support/http1-differences.js';
import { askable, peerNames, recorded } from '../../../support/http1-peers.js';

const test = suite('http1 peers');
const anew = 'run: node build/test/support/http1-peers.js (it needs haproxy and nginx)';

test('each request of the corpus was put to both', () => {
  const { verdicts } = recorded();
  const ids = askable().map(({ id }) => id);
  for (const peer of peerNames) assert.equal(Object.keys(verdicts[peer]), ids, anew);
});

test('each difference to their verdicts is explained, and no explanation is idle', () => {
  const { unexplained, idle } = differences(recorded());
  assert.equal(unexplained, [], 'explain it in test/corpus/http1/peer-differences.yaml');
  assert.equal(idle, []);
});

test.run();
