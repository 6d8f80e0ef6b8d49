/** The corpus against the HAProxy and nginx of this machine, as it was recorded. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { differences } from '../support/http1-differences.js';
import { askPeers, changes, peerNames, recorded, recordFile } from '../support/http1-peers.js';
import { needs } from '../support/needs.js';

const test = suite('http1 peers, live');

needs['http-peers'](test)('HAProxy and nginx take and refuse what was recorded', async () => {
  const wanted = recorded();
  const first = await askPeers();
  // Another version may judge otherwise; its differences must be explained all the same.
  const same = peerNames.filter((peer) => first.versions[peer] === wanted.versions[peer]);
  if (same.every((peer) => changes(first, wanted, peer).length === 0)) {
    assert.equal(differences(first).unexplained, []);
    return;
  }
  // A busy machine may make a peer give up early; what changed for good does so again.
  const second = await askPeers();
  for (const peer of same) {
    const before = changes(first, wanted, peer);
    const changed = changes(second, wanted, peer).filter((id) => before.includes(id));
    assert.equal(changed, [], `${peer} judges otherwise than in ${recordFile}`);
  }
  assert.equal(differences(second).unexplained, []);
});

test.run();
