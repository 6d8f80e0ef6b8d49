/** What the keeper does with issuers that take long, fail, and are told to stop. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Certificate } from '../../../appliance/config/certificate.js';
import { AcmeFailure } from '../../../appliance/tls/acme/failure.js';
import { CertificateStore } from '../../../appliance/tls/certificate-store.js';
import { makeCertificate } from '../../../appliance/tls/issue.js';
import { CertificateKeeper, type Issued } from '../../../appliance/tls/keeper.js';
import { makeKey } from '../../../appliance/tls/keys.js';
import { HandClock } from '../../support/hand-clock.js';

const test = suite<{ bench: Bench }>('keeper');
const MINUTE = 60_000;
const DAY = 86_400_000;

const acme = (names: string[] = ['shop.example']): Certificate => ({
  ...{ type: 'acme', names, key: 'ecdsa-p256', directory: 'https://acme.example/dir' },
  ...{ 'terms-agreed': true, challenge: 'http-01' },
});

class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-keeper-'));
  readonly clock = new HandClock();
  readonly started = this.clock.now();
  /** Minutes since the start of each order, and what was ordered. */
  readonly orders: { readonly at: number; readonly names: string; readonly signal: AbortSignal }[] =
    [];
  readonly events: string[] = [];
  /** That the other unit of a pair has first. */
  patience = 0;
  store!: CertificateStore;
  keeper!: CertificateKeeper;
  issue: (names: readonly string[], signal: AbortSignal) => Promise<Issued> = (names) =>
    this.certificate(names);

  constructor() {
    this.open();
  }

  open(): void {
    const fail = (error: unknown): never => {
      throw error;
    };
    this.store = CertificateStore.open(this.folder, { onListenerError: fail });
    this.keeper = new CertificateKeeper({
      store: this.store,
      clock: this.clock,
      issuers: {
        acme: {
          prompt: false,
          issue: (_name, spec, signal) => {
            if (spec.type !== 'acme') throw new RangeError(spec.type);
            const at = (this.clock.now() - this.started) / MINUTE;
            this.orders.push({ at, names: spec.names.join(), signal });
            return this.issue(spec.names, signal);
          },
        },
      },
      patience: () => this.patience,
      onEvent: ({ severity, message }) => this.events.push(`${severity}: ${message}`),
      onLook: () => undefined,
      onError: fail,
    });
  }

  async certificate(names: readonly string[], lifetimeMs = 90 * DAY): Promise<Issued> {
    const key = await makeKey('ecdsa-p256');
    const leaf = await makeCertificate(key, { names }, { now: this.clock.now(), lifetimeMs });
    return { chain: [leaf], key: key.export({ type: 'pkcs8', format: 'der' }) };
  }

  /** Until what is due is under way. */
  async begin(declared: Readonly<Record<string, Certificate>>): Promise<void> {
    await this.keeper.follow(declared);
    this.keeper.order();
    await new Promise((resolve) => setImmediate(resolve));
  }

  async follow(declared: Readonly<Record<string, Certificate>>): Promise<void> {
    await this.keeper.follow(declared);
    this.keeper.order();
    await this.keeper.settled();
  }

  pass(minutes: number): Promise<void> {
    return this.clock.pass(minutes * MINUTE, () => this.keeper.settled());
  }

  get times(): number[] {
    return this.orders.map(({ at }) => Math.round(at));
  }

  async close(): Promise<void> {
    await this.keeper.close();
    this.store.close();
  }
}

test.before.each((context) => {
  context.bench = new Bench();
});
test.after.each(async ({ bench }) => {
  await bench.close();
  rmSync(bench.folder, { recursive: true, force: true });
});

/** An issuer that answers when it is told to stop, as one that waits for an authority. */
function patient(_names: readonly string[], signal: AbortSignal): Promise<Issued> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

test('nothing is ordered before what was declared is executed, and each only once', async ({
  bench,
}) => {
  await bench.keeper.follow({ shop: acme() });
  await bench.keeper.settled();
  await bench.pass(200);
  assert.is(bench.orders.length, 0, 'expected no order before the services are there');
  bench.keeper.order();
  bench.keeper.order();
  await bench.keeper.settled();
  assert.is(bench.orders.length, 1);
  await bench.follow({ shop: acme() });
  assert.is(bench.orders.length, 1, 'expected no order for what is there');
  assert.equal(bench.events, ['info: certificate shop was obtained (there was none)']);
});

test('a unit whose turn is second orders only what is still due when it comes, or when it is told to', async ({
  bench,
}) => {
  bench.patience = 10 * MINUTE;
  await bench.follow({ shop: acme() });
  await bench.pass(9);
  assert.equal(bench.times, []);
  const { chain, key } = await bench.certificate(['shop.example']);
  const made = { kind: 'certificate', source: 'acme', author: 'weir' } as const;
  bench.store.put({ name: 'shop', chain, key, ...made });
  await bench.pass(60);
  assert.equal(bench.times, [], 'the other one has obtained it');
  await bench.follow({ shop: acme(), late: acme(['late.example']) });
  await bench.pass(11);
  assert.equal(bench.times, [79], 'ten minutes after it was due');
  await bench.keeper.renew('shop');
  assert.equal(bench.times, [79, 80]);
});

test('failures wait longer each time, as long as the authority asks, and are told once each', async ({
  bench,
}) => {
  bench.issue = async (names) => {
    const count = bench.orders.length;
    if (count === 3) throw new AcmeFailure('too many orders', { retryAfterMs: 100 * MINUTE });
    if (count < 5) throw new AcmeFailure('it is down');
    return bench.certificate(names);
  };
  await bench.follow({ shop: acme() });
  await bench.pass(300);
  assert.equal(bench.times, [0, 1, 3, 103, 111]);
  assert.equal(
    bench.events.map((one) =>
      one.replace(/certificate shop cannot be obtained: |; it is tried.*/g, ''),
    ),
    [
      'error: it is down',
      'error: too many orders',
      'error: it is down',
      'info: certificate shop was obtained (there was none)',
    ],
  );
  assert.equal([...bench.keeper.problems], []);
});

test('a try that was put off is not made earlier by a restart, or by a change of something else', async ({
  bench,
}) => {
  bench.issue = () => Promise.reject(new AcmeFailure('it is down', { retryAfterMs: 30 * MINUTE }));
  await bench.follow({ shop: acme() });
  await bench.close();
  bench.open();
  assert.match(bench.keeper.problems.get('shop') ?? '', /it is down/);
  await bench.follow({ shop: acme(), other: { type: 'stored' } });
  await bench.pass(29);
  assert.equal(bench.times, [0]);
  await bench.pass(2);
  assert.equal(bench.times, [0, 30]);
});

test('what is declared in another way is ordered at once, and the order for the old one is cancelled', async ({
  bench,
}) => {
  bench.issue = patient;
  await bench.begin({ shop: acme() });
  assert.is(bench.orders.length, 1);
  bench.issue = (names) => bench.certificate(names);
  await bench.follow({ shop: acme(['shop.example', 'www.shop.example']) });
  assert.ok(bench.orders[0]?.signal.aborted, 'expected the first order to be cancelled');
  assert.equal(bench.store.get('shop')?.names, ['shop.example', 'www.shop.example']);
  assert.equal(
    bench.events.filter((one) => one.startsWith('error')),
    [],
    'what is cancelled is no failure',
  );
});

test('closing cancels what is under way, and is no failure', async ({ bench }) => {
  bench.issue = patient;
  await bench.begin({ shop: acme() });
  await bench.close();
  assert.ok(bench.orders[0]?.signal.aborted);
  assert.equal(bench.events, []);
  bench.open();
  assert.equal([...bench.keeper.problems], []);
});

test('one that is old when it comes is kept, and not asked for without pause', async ({
  bench,
}) => {
  bench.issue = async (names) => {
    const issued = await bench.certificate(names, DAY);
    bench.clock.time += DAY;
    return issued;
  };
  await bench.follow({ shop: acme() });
  assert.is(bench.orders.length, 1);
  assert.equal(bench.store.get('shop')?.names, ['shop.example']);
  assert.match(bench.keeper.problems.get('shop') ?? '', /to be renewed already: look at the clock/);
});

test('a command obtains it anew, whatever is left of the one there is, and says what failed', async ({
  bench,
}) => {
  await bench.follow({ shop: acme() });
  const { generation = 0 } = bench.store.get('shop') ?? {};
  assert.is(await bench.keeper.renew('shop'), null);
  assert.ok((bench.store.get('shop')?.generation ?? 0) > generation);
  bench.issue = () => Promise.reject(new AcmeFailure('it is down'));
  assert.match((await bench.keeper.renew('shop')) ?? '', /it is down/);
  bench.issue = (names) => bench.certificate(names);
  assert.is(await bench.keeper.renew('shop'), null);
  assert.equal([...bench.keeper.problems], []);
});

test('a failure of a clock that was far ahead does not put off the next attempt for years', async ({
  bench,
}) => {
  const now = bench.clock.time;
  bench.issue = () => Promise.reject(new Error('its clock is another'));
  bench.clock.time = now + 20 * 365 * DAY;
  await bench.follow({ shop: acme() });
  await bench.close();
  bench.clock.time = now;
  bench.issue = (names) => bench.certificate(names);
  bench.open();
  await bench.follow({ shop: acme() });
  assert.is(bench.store.get('shop')?.problem, null, 'expected a certificate at once');
});

test('who asks for a renewal hears of it when nothing came, whatever the reason', async ({
  bench,
}) => {
  bench.issue = patient;
  await bench.begin({ shop: acme() });
  const replaced = bench.keeper.renew('shop');
  await bench.begin({ shop: acme(['other.example']) });
  assert.match((await replaced) ?? 'it was obtained', /shop was not obtained/);
  const asked = bench.keeper.renew('shop');
  await bench.keeper.close();
  assert.match((await asked) ?? 'it was obtained', /shop was not obtained/);
  const orders = bench.orders.length;
  assert.match((await bench.keeper.renew('shop')) ?? 'it was obtained', /shop was not obtained/);
  assert.is(bench.orders.length, orders, 'expected no order after the end');
});

test.run();
