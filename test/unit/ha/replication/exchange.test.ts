/** What two units say of their configuration: over a real link at any size, and refused when it is not right. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sealedEntry, sharedDigest } from '../../../../appliance/config/shared.js';
import type { Document } from '../../../../appliance/config/schema.js';
import {
  MessageError,
  parseMessage,
  type Message,
} from '../../../../appliance/ha/replication/messages.js';
import { ReplicationError } from '../../../../appliance/ha/replication/state.js';
import { Transport } from '../../../../appliance/ha/replication/transport.js';
import { pairOf } from '../../../support/two-units.js';
import { KEY, ticks, twoUnits, type SimulatedUnit } from './simulation.js';

const test = suite('replication, exchange');

const members = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    address: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
    port: 1024 + ((index * 7919) % 60_000),
    weight: 1 + (index % 200),
  }));

function pools(count: number): NonNullable<Document['pools']> {
  return { web: { algorithm: 'maglev', members: members(count) } };
}

function proposal(count: number): Extract<Message, { type: 'propose' }> {
  const document = { version: 1 as const, pools: pools(count) };
  const entry = sealedEntry({
    ...{ parent: KEY, kind: 'commit', unit: 'weir-a', author: 'ada', time: 1, comment: '' },
    ...{ confirmBy: null, digest: sharedDigest(document) },
  });
  const delivered = JSON.parse(JSON.stringify({ entry, document })) as Extract<
    Message,
    { type: 'propose' }
  >['delivered'];
  return { type: 'propose', number: 1, delivered, remaining: 0 };
}

test('a document of any size crosses the link whole, and in order', async () => {
  const [a, b] = await pairOf();
  try {
    if (a.session === null || b.session === null) throw new Error('expected two sessions');
    const heard: Message[] = [];
    let enough = (): void => undefined;
    const all = new Promise<void>((resolve) => (enough = resolve));
    const errors: unknown[] = [];
    const onError = (error: unknown): void => {
      errors.push(error);
      enough();
    };
    const to = new Transport(b.session, {
      onMessage: (message) => {
        heard.push(message);
        if (heard.length === 3) enough();
      },
      onError,
    });
    const from = new Transport(a.session, { onMessage: () => undefined, onError });
    const sent = [proposal(1), proposal(200_000), proposal(10_000)];
    for (const message of sent) from.send(message);
    await all;
    assert.equal(errors, []);
    assert.equal(
      heard.map((message) => message.type === 'propose' && message.delivered.entry.id),
      sent.map(({ delivered }) => delivered.entry.id),
    );
    from.close();
    to.close();
  } finally {
    a.close();
    b.close();
  }
});

const good = proposal(1);
for (const [name, value] of [
  ['no object', 7],
  ['of an unknown type', { type: 'sing' }],
  ['with a key that nobody knows', { ...good, loud: true }],
  ['with an entry that is not what its name says', change({ author: 'eve' })],
  [
    'with another document',
    { ...good, delivered: { ...good.delivered, document: { version: 1 } } },
  ],
  [
    'with a unit section',
    { ...good, delivered: { ...good.delivered, document: { version: 1, unit: { name: 'x' } } } },
  ],
  ['without its document', { ...good, delivered: { ...good.delivered, document: null } }],
  [
    'with too many entries',
    {
      type: 'offer',
      number: 1,
      goal: 'head',
      remaining: 0,
      entries: Array.from({ length: 65 }, () => good.delivered),
    },
  ],
] as const) {
  test(`a message ${name} is refused`, () => {
    assert.throws(
      () => parseMessage(value),
      (error: unknown) => error instanceof MessageError,
    );
  });
}

function change(to: object): object {
  return { ...good, delivered: { ...good.delivered, entry: { ...good.delivered.entry, ...to } } };
}

async function done(unit: SimulatedUnit, count: number, author = 'ada'): Promise<unknown> {
  const result = unit.commit(unit.document(pools(count)), author);
  await ticks();
  return result;
}

test('the author of a change that came second is told who did what', () =>
  twoUnits(async (pair) => {
    pair.heal();
    await pair.settle();
    const results = [done(pair.a, 1, 'ada'), done(pair.b, 2, 'bob')];
    await pair.settle();
    const answers = await Promise.all(results);
    const lost = answers.filter((one): one is ReplicationError => one instanceof ReplicationError);
    assert.is(lost.length, 1);
    const [winner, loser] = answers[0] === lost[0] ? ['bob', 'ada'] : ['ada', 'bob'];
    assert.is(lost[0]?.code, 'conflict');
    assert.is(lost[0]?.rival?.author, winner, `${loser} hears of ${winner}`);
    assert.match(lost[0]?.rival?.changes.join() ?? '', /pools\.web/);
    assert.is(pair.a.store.log.head()?.id, pair.b.store.log.head()?.id);
  }));

test('what the other unit cannot execute changes nothing on either', () =>
  twoUnits(async (pair) => {
    pair.heal();
    await pair.settle();
    pair.b.refuses = () => 'too large for me';
    const result = done(pair.a, 1);
    await pair.settle();
    const answer = await result;
    assert.instance(answer, ReplicationError);
    assert.match((answer as ReplicationError).message, /too large for me/);
    for (const unit of pair.units) assert.is(unit.store.head(), null, unit.name);
  }));

test('what was committed while apart and cannot be taken over is told once, and taken when it can', () =>
  twoUnits(async (pair) => {
    await done(pair.a, 1);
    pair.b.refuses = () => 'too large for me';
    pair.heal();
    await pair.settle();
    assert.is(pair.a.replicator.view()?.state, 'refused');
    assert.is(pair.b.store.head(), null, 'nothing of it is current');
    pair.a.replicator.announce();
    await pair.settle();
    assert.is(pair.a.news.filter(({ what }) => what === 'refused').length, 1);
    pair.b.refuses = () => null;
    const result = done(pair.a, 2);
    await pair.settle();
    const answer = await result;
    assert.not.instance(answer, Error);
    assert.is(pair.a.replicator.view()?.state, 'in-step');
    assert.is(pair.b.store.head()?.document.pools?.['web']?.members.length, 2);
  }));

test('what gave way is listed until it, or what came after it, is brought back', () =>
  twoUnits(async (pair) => {
    pair.heal();
    await pair.settle();
    const first = done(pair.a, 1);
    await pair.settle();
    await first;
    pair.cut();
    await done(pair.a, 2);
    await done(pair.b, 3, 'bob');
    await done(pair.b, 4, 'bob');
    await done(pair.a, 5);
    await done(pair.a, 6);
    pair.heal();
    await pair.settle();
    for (const unit of pair.units) {
      const gone = unit.store.log.superseded(5);
      assert.equal(
        gone.map(({ author, revision }) => [
          author,
          unit.store.revision(revision).document.pools?.['web']?.members.length,
        ]),
        [
          ['bob', 4],
          ['bob', 3],
        ],
        unit.name,
      );
      assert.is(unit.store.log.superseded(1).length, 1);
    }
    const back = done(pair.a, 4);
    await pair.settle();
    await back;
    for (const unit of pair.units) assert.equal(unit.store.log.superseded(5), [], unit.name);
  }));

test('a unit without a configuration takes that of the other, whoever invited', () =>
  twoUnits(async (pair) => {
    pair.b.store.commit({ document: pair.b.document(pools(3)), author: 'bob', comment: '' });
    pair.heal();
    await pair.settle();
    assert.is(pair.a.store.head()?.document.pools?.['web']?.members.length, 3);
    assert.is(pair.a.store.head()?.document.unit.name, 'weir-a');
    assert.is(pair.a.replicator.view()?.state, 'in-step');
  }));

test.run();
