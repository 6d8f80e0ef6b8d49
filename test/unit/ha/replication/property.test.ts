/** Whatever two units do, and whatever happens to them and their link: in the end both have the same, and all of it. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Entry } from '../../../../appliance/config/shared.js';
import { type Done } from '../../../../appliance/ha/replication/replicator.js';
import { ticks, TwoUnits, type SimulatedUnit } from './simulation.js';

const test = suite('replication, at random');

type Act =
  | {
      readonly do: 'commit';
      readonly at: 0 | 1;
      readonly weight: number;
      readonly confirm: boolean;
    }
  | { readonly do: 'unit'; readonly at: 0 | 1; readonly workers: number }
  | { readonly do: 'confirm' | 'expire' | 'late' | 'restart'; readonly at: 0 | 1 }
  | { readonly do: 'deliver'; readonly at: 0 | 1; readonly count: number }
  | { readonly do: 'leap'; readonly at: 0 | 1; readonly by: number }
  | { readonly do: 'cut' | 'heal' };

const at = fc.constantFrom<0 | 1>(0, 1);
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      at,
      weight: fc.integer({ min: 1, max: 200 }),
      confirm: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('unit' as const),
      at,
      workers: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'confirm' as const,
        'expire' as const,
        'late' as const,
        'restart' as const,
      ),
      at,
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('deliver' as const),
      at,
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('leap' as const),
      at,
      by: fc.integer({ min: -900_000, max: 900_000 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('cut' as const, 'heal' as const) }) },
);

interface Acknowledged {
  readonly entry: Entry;
  readonly onBoth: boolean;
}

class Story {
  readonly pair = new TwoUnits();
  readonly acknowledged: Acknowledged[] = [];
  readonly defects: string[] = [];
  readonly #seen = new Map<string, string>();
  #sequence = 0;

  async play(acts: readonly Act[]): Promise<void> {
    for (const one of acts) {
      this.#step(one);
      await ticks();
      this.remember();
    }
  }

  /** No revision ever changes or goes. */
  remember(): void {
    for (const unit of this.pair.units) {
      const rows = unit.store.history({ limit: 10_000 });
      for (const { number, digest, author, time } of rows) {
        const key = `${unit.name} ${number}`;
        const text = `${digest} ${author} ${time}`;
        const before = this.#seen.get(key) ?? text;
        if (before !== text) this.defects.push(`${key} has changed`);
        this.#seen.set(key, text);
      }
      const mine = [...this.#seen.keys()].filter((key) => key.startsWith(unit.name)).length;
      if (mine !== rows.length) this.defects.push(`${unit.name} has lost revisions`);
    }
  }

  #step(one: Act): void {
    if (!('at' in one)) {
      if (one.do === 'cut') this.pair.cut();
      else this.pair.heal();
      return;
    }
    const unit = one.at === 0 ? this.pair.a : this.pair.b;
    switch (one.do) {
      case 'deliver':
        for (let count = 0; count < one.count; count++) unit.deliver();
        break;
      case 'restart':
        unit.restart();
        break;
      case 'leap':
        unit.ahead = one.by;
        break;
      case 'late':
        unit.tooLate();
        break;
      case 'expire':
        if (!unit.busy) unit.expire();
        break;
      case 'confirm':
        if (!unit.busy && unit.store.pendingConfirm() !== null) this.#follow(unit, unit.confirm());
        break;
      case 'unit': {
        if (unit.busy || unit.store.pendingConfirm() !== null) break;
        const pools = unit.store.head()?.document.pools;
        this.#follow(unit, unit.commit(unit.document(pools, { workers: one.workers })));
        break;
      }
      case 'commit':
        this.#commit(unit, one.weight, one.confirm);
    }
  }

  #commit(unit: SimulatedUnit, weight: number, confirm: boolean): void {
    const head = unit.store.head();
    if (unit.busy || (unit.store.pendingConfirm() !== null && !confirm)) return;
    const name = `p${this.#sequence++ % 5}`;
    const members = [{ address: '10.0.0.1', port: 80, weight }];
    const pools = { ...head?.document.pools, [name]: { algorithm: 'maglev' as const, members } };
    const workers = head?.document.unit.workers;
    const document = unit.document(pools, workers === undefined ? {} : { workers });
    const confirmBy = confirm && head !== null ? this.pair.now + 1_000_000 : null;
    this.#follow(unit, unit.commit(document, `author${this.#sequence}`, confirmBy));
  }

  #follow(unit: SimulatedUnit, result: ReturnType<SimulatedUnit['commit']>): void {
    void result.then((done) => {
      // A unit that was killed acknowledges nothing.
      if (done instanceof Error) {
        if (done.name === 'ReplicationError' || /is closed/.test(done.message)) return;
        this.defects.push(`${unit.name}: ${done.name}: ${done.message}`);
        return;
      }
      this.#acknowledge(unit, done);
    });
  }

  #acknowledge(unit: SimulatedUnit, { value, report }: Done<number>): void {
    if (report === null) return;
    const { log } = unit.store;
    const mark = log.mark(value);
    const head = log.head();
    // A confirmation is an entry, but no revision of its own.
    const id = head?.revision === value ? head.id : mark?.id;
    const entry = id === undefined ? null : log.entry(id);
    if (entry === null) this.defects.push(`${unit.name} acknowledged ${value}, which is in no log`);
    else this.acknowledged.push({ entry, onBoth: report.replicated });
  }
}

async function check(acts: readonly Act[]): Promise<void> {
  const story = new Story();
  const { pair } = story;
  try {
    await story.play(acts);
    pair.heal();
    for (let round = 0; round < 3; round++) {
      await pair.settle();
      for (const unit of pair.units) {
        unit.tooLate();
        // What is of one unit alone keeps it from following the other one until it is confirmed.
        const { log } = unit.store;
        if (unit.store.pendingConfirm() !== null && !log.waits && !unit.busy) await unit.confirm();
      }
    }
    await pair.settle();
    story.remember();
    const [a, b] = [pair.a.store, pair.b.store];
    assert.is(story.defects.join(', '), '');
    assert.is(a.log.head()?.id, b.log.head()?.id, 'both have the same head');
    assert.equal(a.head()?.document.pools, b.head()?.document.pools, 'and the same configuration');
    for (const store of [a, b]) {
      assert.is(store.pendingConfirm() !== null, store.log.waits, 'and wait for the same');
    }
    for (const { entry, onBoth } of story.acknowledged) {
      for (const unit of pair.units) {
        const kept = unit.store.log.entry(entry.id);
        const what = `what ${entry.author} did on ${entry.unit}, on ${unit.name}`;
        assert.ok(kept, `${what}: is there`);
        if (onBoth) assert.ok(kept?.main, `${what}: holds, as it was acknowledged to be on both`);
      }
    }
    for (const unit of pair.units) {
      assert.equal(unit.store.integrityCheck().problems, []);
      assert.is(unit.store.head()?.document.unit.name ?? unit.name, unit.name);
      assert.equal(unit.store.log.untold(10), [], 'the other unit has what lost here');
      assert.is(unit.replicator.view()?.state, 'in-step');
      assert.is(unit.store.log.peerLacks(), 0);
      for (const news of unit.news) assert.not.equal(news.what, 'not-kept');
    }
  } finally {
    pair.close();
  }
}

test('both are equal in the end, and nothing that was acknowledged is lost', async () => {
  const runs = Number(process.env['WEIR_PROPERTY_RUNS'] ?? 150);
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 60, size: 'max' }), check),
    { numRuns: runs, includeErrorInReport: true, endOnFailure: true },
  );
});

test.run();
