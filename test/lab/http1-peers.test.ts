/** The corpus against the HAProxy and nginx of this machine, as it was recorded. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { differences } from '../support/http1-differences.js';
import { askPeers, peerNames, recorded } from '../support/http1-peers.js';
import { needs } from '../support/needs.js';

const test = suite('http1 peers, live');

needs['http-peers'](test)('HAProxy and nginx judge the corpus as recorded', async () => {
  const seen = await askPeers();
  const wanted = recorded();
  for (const peer of peerNames) {
    // Another version may judge otherwise; its differences must be explained all the same.
    if (seen.versions[peer] === wanted.versions[peer]) {
      assert.equal(seen.verdicts[peer], wanted.verdicts[peer], peer);
    } else
      console.log(`${peer} ${seen.versions[peer]} is not the recorded ${wanted.versions[peer]}`);
  }
  assert.equal(differences(seen).unexplained, []);
});

test.run();
