/** What changed between two documents, and setting one member's state or weight. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { canonicalJson } from '../../../appliance/config/canonical.js';
import { diffDocuments, formatChanges, withMember } from '../../../appliance/config/changes.js';
import type { Document } from '../../../appliance/config/schema.js';
import { anyDocument } from './documents.js';

const changes = suite('changes');

const before: Document = {
  version: 1,
  unit: { name: 'a' },
  pools: {
    web: {
      members: [
        { address: '10.0.1.1', port: 80, weight: 3 },
        { address: '10.0.1.2', port: 80 },
        { address: 'FD00::1', port: 80 },
        { address: '10.0.1.9' },
      ],
      monitor: { type: 'tcp', interval: '1s' },
    },
  },
  services: { s: { listen: { address: '10.0.0.1', port: 80, protocol: 'tcp' }, pool: 'web' } },
};

function clone(document: Document): Document {
  return JSON.parse(JSON.stringify(document)) as Document;
}

changes('members are matched by address and port, not by their place', () => {
  const after = clone(before);
  const members = after.pools?.['web']?.members ?? [];
  members.reverse();
  assert.equal(diffDocuments(before, after), [], 'a new order changes nothing');
  members.splice(
    members.findIndex((member) => member.address === '10.0.1.1'),
    1,
  );
  const ipv6 = members.find((member) => member.address === 'FD00::1');
  assert.ok(ipv6);
  if (ipv6) ipv6.weight = 7;
  members.push({ address: '10.0.1.3', port: 80, state: 'draining' });
  assert.is(
    formatChanges(diffDocuments(before, after)),
    [
      '- pools.web.members[10.0.1.1:80]: { address: 10.0.1.1, port: 80, weight: 3 }',
      '+ pools.web.members[[fd00::1]:80].weight: 7',
      '+ pools.web.members[10.0.1.3:80]: { address: 10.0.1.3, port: 80, state: draining }',
    ].join('\n'),
  );
});

changes('each kind of change is one line', () => {
  const after = clone(before);
  const web = after.pools?.['web'];
  assert.ok(web);
  if (web) {
    web.monitor = { type: 'tcp', interval: '2s' };
    web.description = 'the\u001bshop';
  }
  after.services = {
    t: { listen: { address: '10.0.0.2', port: 80, protocol: 'tcp' }, pool: 'web' },
  };
  after.pair = undefined;
  assert.is(
    formatChanges(diffDocuments(before, after)),
    [
      '+ pools.web.description: "the\\u001bshop"',
      '~ pools.web.monitor.interval: 1s → 2s',
      '- services.s: { listen: { address: 10.0.0.1, port: 80, protocol: tcp }, pool: web }',
      '+ services.t: { listen: { address: 10.0.0.2, port: 80, protocol: tcp }, pool: web }',
    ].join('\n'),
  );
});

changes('the first document adds each pool and service by itself', () => {
  assert.equal(
    diffDocuments(null, before).map((change) => `${change.kind} ${change.path}`),
    ['added pools.web', 'added services.s', 'added unit', 'added version'],
  );
});

changes('no change exactly when the documents mean the same text, members in any order', () => {
  fc.assert(
    fc.property(anyDocument, anyDocument, (a, b) => {
      assert.equal(diffDocuments(a, a), []);
      const same = canonicalJson(sortMembers(a)) === canonicalJson(sortMembers(b));
      assert.is(diffDocuments(a, b).length === 0, same);
      const forth = diffDocuments(a, b)
        .map((change) => change.path)
        .sort();
      const back = diffDocuments(b, a)
        .map((change) => change.path)
        .sort();
      assert.equal(forth, back, 'the way back touches the same places');
    }),
    { numRuns: 200, seed: 11 },
  );
});

/** Sections that are absent and sections that are empty are equal to a diff. */
function sortMembers(document: Document): Document {
  const copy = clone(document);
  copy.pools ??= {};
  copy.services ??= {};
  for (const pool of Object.values(copy.pools)) {
    pool.members.sort((a, b) => (a.address < b.address ? -1 : 1));
  }
  return copy;
}

changes('one member can be set, by any spelling of its address', () => {
  const set = withMember(before, 'web', '[fd00:0::1]:80', { state: 'draining' });
  assert.ok(set.ok);
  if (set.ok) {
    assert.is(
      formatChanges(diffDocuments(before, set.document)),
      '+ pools.web.members[[fd00::1]:80].state: draining',
    );
  }
  assert.ok(
    withMember(before, 'web', '10.0.1.1', { state: 'disabled' }).ok,
    'the port may be left out when it is clear',
  );
  assert.ok(withMember(before, 'web', '10.0.1.9', { state: 'disabled' }).ok);
  assert.ok(
    withMember(before, 'web', '10.0.1.9:0', { state: 'disabled' }).ok,
    'port 0 is how tables name it',
  );
  for (const [pool, member, expected] of [
    ['wbe', '10.0.1.1:80', /no pool "wbe"/],
    ['web', '10.0.1.1:81', /no member "10.0.1.1:81"/],
    ['web', 'nonsense', /no address and port/],
    ['constructor', '10.0.1.1:80', /no pool/],
  ] as const) {
    const result = withMember(before, pool, member, { state: 'enabled' });
    assert.not.ok(result.ok);
    if (!result.ok) assert.match(result.message, expected);
  }
});

changes.run();
