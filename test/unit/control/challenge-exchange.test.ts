/** Challenges of authorities on two units over a real pair: both answer before an authority is asked. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { orderPatience } from '../../../appliance/control/order-turn.js';
import {
  CHANNEL,
  ChallengeExchange,
} from '../../../appliance/control/shared/challenge-exchange.js';
import type { Challenge } from '../../../appliance/tls/acme/issuer.js';
import type { Declared } from '../../../appliance/tls/keeper.js';
import { pairOf, type PairUnit } from '../../support/two-units.js';

const test = suite('challenges on two units');

const http: Challenge = {
  ...{ type: 'http-01', domain: 'shop.example', token: 'token', keyAuthorization: 'token.key' },
};
const alpn: Challenge = {
  ...{ type: 'tls-alpn-01', domain: 'shop.example' },
  ...{ certificate: Buffer.from('certificate'), key: Buffer.from('key') },
};

class Answering {
  readonly exchange: ChallengeExchange;
  readonly answered = new Map<string, Challenge>();
  readonly errors: unknown[] = [];
  /** What its workers say. */
  take: () => Promise<boolean> = async () => true;
  #wake: () => void = () => undefined;

  constructor(
    readonly unit: PairUnit,
    patienceMs?: number,
  ) {
    this.exchange = new ChallengeExchange({
      pair: unit.pair,
      take: async (id, challenge) => {
        this.answered.set(id, challenge);
        this.#wake();
        return this.take();
      },
      drop: async (id) => {
        if (id === null) this.answered.clear();
        else this.answered.delete(id);
        this.#wake();
      },
      onError: (error) => this.errors.push(error),
      ...(patienceMs === undefined ? {} : { patienceMs }),
    });
    unit.listener = (news) => {
      this.exchange.heard(news);
    };
  }

  async until(count: number): Promise<void> {
    while (this.answered.size !== count)
      await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  close(): void {
    this.exchange.close();
    this.unit.close();
  }
}

async function withUnits(
  work: (a: Answering, b: Answering) => Promise<void>,
  patienceMs?: number,
): Promise<void> {
  const [one, other] = await pairOf();
  const [a, b] = [new Answering(one, patienceMs), new Answering(other)];
  try {
    await work(a, b);
    assert.equal([...one.errors, ...other.errors], []);
  } finally {
    a.close();
    b.close();
  }
}

test('the order goes on when the other unit answers, and it answers no longer than the order', () =>
  withUnits(async (a, b) => {
    let workers: (well: boolean) => void = () => undefined;
    b.take = () => new Promise((resolve) => (workers = resolve));
    let done = false;
    const first = a.exchange.present(http).then(() => (done = true));
    await b.until(1);
    await new Promise((resolve) => setImmediate(resolve));
    assert.not.ok(done, 'its workers do not answer yet');
    workers(true);
    await first;
    b.take = async () => false;
    await a.exchange.present(alpn);
    assert.equal([...b.answered.values()], [http, alpn]);
    a.exchange.withdraw(http);
    await b.until(1);
    assert.equal([...b.answered.values()], [alpn]);
    a.exchange.withdraw(alpn);
    await b.until(0);
  }));

test('a unit that says nothing, or is away, holds no order up for long', () =>
  withUnits(async (a, b) => {
    b.take = () => new Promise(() => undefined);
    await a.exchange.present(http);
    b.exchange.close();
    b.unit.stop();
    await a.unit.heard('alone');
    await a.exchange.present(alpn);
  }, 50));

test('when the units come together anew, what is under way is answered again and nothing else', () =>
  withUnits(async (a, b) => {
    await a.exchange.present(http);
    await a.exchange.present(alpn);
    a.exchange.withdraw(alpn);
    await b.until(1);
    b.exchange.heard({ what: 'together', peer: 'unit-a' });
    assert.is(b.answered.size, 0);
    a.exchange.heard({ what: 'together', peer: 'unit-b' });
    await b.until(1);
    a.unit.pair.leave();
    await b.unit.heard('left');
    assert.is(b.answered.size, 0, 'no pair, no answers for it');
  }));

test('what is no message, or one too many, is refused', () =>
  withUnits(async (a, b) => {
    const say = (value: unknown): Promise<void> | undefined =>
      a.unit.session?.send(CHANNEL, Buffer.from(JSON.stringify(value)));
    await say({ what: 'http-01', id: 'x' });
    await say(7);
    assert.is(b.errors.length, 2);
    for (let index = 0; index < 205; index += 1) {
      const { type: what, domain, token, keyAuthorization } = http;
      await say({
        what,
        id: index.toString(16).padStart(32, '0'),
        domain,
        token,
        keyAuthorization,
      });
    }
    assert.is(b.answered.size, 200);
  }));

test('of two units the one that invited orders first; the other one later, and never too late', () => {
  const acme = { type: 'acme' } as Declared;
  const peer = { role: 'joiner' } as NonNullable<Parameters<typeof orderPatience>[0]['peer']>;
  const link = (up: boolean) => [{ up }] as unknown as Parameters<typeof orderPatience>[0]['links'];
  const ending = (notAfter: number) => ({ kind: 'certificate', notAfter }) as const;
  const now = 1_000_000;
  assert.is(orderPatience({ peer: null, links: [] }, acme, undefined, now), 0);
  assert.is(
    orderPatience({ peer: { ...peer, role: 'inviter' }, links: link(true) }, acme, undefined, now),
    0,
  );
  assert.is(
    orderPatience({ peer, links: link(true) }, { type: 'self-signed' } as Declared, undefined, now),
    0,
  );
  assert.is(orderPatience({ peer, links: link(true) }, acme, undefined, now), 600_000);
  assert.is(orderPatience({ peer, links: link(false) }, acme, undefined, now), 60_000);
  assert.is(orderPatience({ peer, links: link(true) }, acme, ending(now + 10_000), now), 5000);
  assert.is(orderPatience({ peer, links: link(true) }, acme, ending(now - 10_000), now), 0);
});

test.run();
