/** The lab's judgement: a lost connection must never pass for a good one. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { flowAt, type Death, type Failure, type LoadReport } from '../../lab/clients.js';
import type { ServiceTarget } from '../../lab/lab.js';
import { judgeShop, type ShopReport } from '../../lab/shop.js';
import { judge, share, unlike } from '../../lab/stage.js';

const test = suite('judge');

const target: ServiceTarget = {
  ...{ name: 'web', pool: 'web', forwarding: 'nat', protocol: 'http' },
  ...{ address: '10.77.0.80', port: 80, memberPort: 8080 },
};
const death: Death = {
  member: 'member-1',
  from: 10_000,
  to: 11_000,
  flows: new Set(['10.78.0.2.40000 > 10.77.0.11.8080']),
};
const unanswered: Failure = {
  ...{ began: 10_500, time: 10_501, kind: 'short', reason: 'ECONNREFUSED' },
  ...{ member: null, port: 40_000 },
};
const broken: Failure = {
  ...{ began: 2000, time: 10_001, kind: 'long', reason: 'ECONNRESET' },
  ...{ member: 'member-1', port: 40_001 },
};

function report(failures: readonly Failure[], more: Partial<LoadReport> = {}): LoadReport {
  return {
    ...{ window: 'test', seconds: 4, requests: 100, connections: 50, open: 10 },
    ...{
      failed: failures.length,
      repeated: 0,
      failures,
      byMember: { 'member-1': 6, 'member-2': 4 },
      longestGap: 5,
      slowest: 5,
    },
    ...more,
  };
}

function troubles(failures: readonly Failure[], more: Partial<LoadReport> = {}): readonly string[] {
  return judge(new Map([['web', report(failures, more)]]), [target], [death]).troubles;
}

test('a flow is named as it is seen at the member', () => {
  assert.is(flowAt('member-1', target, 40_000), [...death.flows][0]);
  const direct = { ...target, address: 'fd77::81', port: 9000, memberPort: 9000 };
  for (const forwarding of ['dsr', 'tunnel']) {
    assert.is(flowAt('member-2', { ...direct, forwarding }, 7), 'fd78::2.7 > fd77::81.9000');
  }
  const full = { ...target, forwarding: 'full-nat' };
  assert.is(flowAt('member-2', full, 7), '10.78.0.2.7 > 10.77.0.80.80', 'as the client sees it');
});

test('where no member dies, few datagrams may be sent again', () => {
  const seen = (repeated: number): readonly string[] => troubles([], { requests: 1000, repeated });
  assert.equal(seen(103), []);
  assert.equal(seen(104), ['web: 104 of 1000 datagrams sent again']);
  assert.equal(troubles([broken], { repeated: 900 }), [], 'those to the dead member');
});

test('a death explains the connections that it took', () => {
  const seen = judge(new Map([['web', report([unanswered, broken])]]), [target], [death]);
  assert.equal(seen.troubles, []);
  assert.is(seen.explained, 2);
});

const unexplained: Readonly<Record<string, Failure>> = {
  'on another member': { ...broken, member: 'member-2' },
  'before the death': { ...broken, time: 9999 },
  'long after the death': { ...broken, time: 30_000 },
  'of a connection begun after its return': { ...broken, began: 12_000, time: 12_001 },
  'begun after the last packet went there': { ...unanswered, began: 11_001, time: 11_002 },
  'without an answer, and none of its packets reached the dead member': {
    ...unanswered,
    port: 40_002,
  },
  'without a source port': { ...unanswered, port: null },
  'of a kind that no dead member causes': { ...unanswered, reason: 'garbled' },
};
for (const [what, failure] of Object.entries(unexplained)) {
  test(`a failure ${what} is a trouble`, () => {
    const found = troubles([failure, unanswered]);
    assert.is(found.length, 1, found.join('\n'));
    assert.match(found[0] ?? '', /^web: a (short|long) connection failed/);
  });
}

test('without a death nothing is explained', () => {
  const seen = judge(new Map([['web', report([broken])]]), [target], []);
  assert.is(seen.troubles.length, 1);
});

test('a failure of a service that nobody knows is a trouble', () => {
  const seen = judge(new Map([['other', report([unanswered])]]), [target], [death]);
  assert.is(seen.troubles.length, 1, seen.troubles.join('\n'));
});

test('failures beyond those listed, and silence, are troubles', () => {
  assert.equal(troubles([], { failed: 3 }), ['web: 3 failures beyond those listed']);
  assert.equal(troubles([], { requests: 0 }), ['web: no request was answered']);
  assert.equal(troubles([], { requests: 0, seconds: 0.2 }), [], 'a short window may be silent');
});

test('shares are held against the weights', () => {
  const reports = new Map([['web', report([])]]);
  assert.is(share(reports, 'member-1'), 0.6);
  const weights = { 'member-1': 3, 'member-2': 2, 'member-3': 0 };
  assert.equal(unlike(reports, weights, 0.01), []);
  assert.is(unlike(reports, { ...weights, 'member-3': 5 }, 0.01).length, 3);
});

const shopping: ShopReport = {
  ...{ window: 'test', requests: 100, failures: [], lost: [], moved: [] },
  secure: { requests: 50, failures: 0 },
  byMember: { 'member-1': 2 },
};

test('a request to the proxy that failed is a trouble, whoever died', () => {
  const seen = judgeShop({ ...shopping, failures: ['/: 502'] }, [death], []);
  assert.equal(seen, ['shop: a request failed: /: 502']);
  assert.equal(judgeShop(shopping, [], []), []);
  assert.is(judgeShop({ ...shopping, requests: 0 }, [], []).length, 1);
  const plain = { ...shopping, secure: { requests: 0, failures: 0 } };
  assert.equal(judgeShop(plain, [], []), ['shop: no request was answered over TLS']);
});

test('a lost connection to the proxy is a trouble, unless its worker was killed', () => {
  const report = { ...shopping, lost: [40_000, 40_001] };
  assert.equal(judgeShop(report, [death], [40_000]), [
    'shop: lost connections from the ports 40001',
  ]);
  assert.equal(judgeShop(report, [], [40_000, 40_001]), []);
});

test('a customer may leave a member that died, and no other', () => {
  assert.equal(judgeShop({ ...shopping, moved: ['member-1'] }, [death], []), []);
  assert.is(judgeShop({ ...shopping, moved: ['member-2'] }, [death], []).length, 1);
});

test.run();
