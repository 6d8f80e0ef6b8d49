/** One configuration on two units, with both daemons: commits, deaths, cuts, and what is said of them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  ApplyResult,
  ConfigView,
  EventRow,
  RevisionRow,
} from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { PairLab } from './pair-lab.js';
import { until, type Unit } from './unit.js';

const test = suite('replication');

const MEMBER = '10.77.0.11:8080';
const pool = (weight: number) => ({
  pools: { web: { algorithm: 'maglev', members: [{ address: '10.77.0.11', port: 8080, weight }] } },
});

/** The document of a unit without its own section, and that section. */
async function configuration(unit: Unit): Promise<{ shared: unknown; own: unknown }> {
  const { document } = await unit.get<ConfigView>('/v1/config');
  const { unit: own, ...shared } = document ?? { unit: null };
  return { shared, own };
}

const history = (unit: Unit): Promise<RevisionRow[]> => unit.get('/v1/revisions?limit=1000');

async function events(unit: Unit): Promise<string[]> {
  const rows = await unit.get<EventRow[]>('/v1/events?kind=replication&limit=200');
  return rows.map(({ message }) => message);
}

/** Both say that they have the same, and they have. */
async function inStep(lab: PairLab): Promise<void> {
  for (const unit of [lab.a, lab.b]) {
    await until(`${unit.name} is in step`, 30_000, async () => {
      const { replication } = await unit.status();
      return replication?.state === 'in-step' || (replication?.message ?? 'no pair');
    });
  }
  assert.equal((await configuration(lab.a)).shared, (await configuration(lab.b)).shared);
}

async function setWeight(unit: Unit, weight: number, comment = ''): Promise<ApplyResult> {
  const words = ['--weight', String(weight), '--comment', comment, '--json'];
  return JSON.parse(await unit.must('set', 'member', 'web', MEMBER, ...words)) as ApplyResult;
}

async function paired(work: (lab: PairLab) => Promise<void>): Promise<void> {
  await PairLab.run(
    { document: (name) => (name === 'unit-a' ? pool(1) : pool(2)) },
    async (lab) => {
      await lab.pair();
      await inStep(lab);
      await work(lab);
    },
  );
}

needs.lab(test)(
  'what is committed on either unit is on both, and what is a unit’s own is not',
  () =>
    paired(async (lab) => {
      const first = await configuration(lab.b);
      assert.equal(first.shared, { version: 1, services: {}, ...pool(1) }, 'the inviter’s counts');
      assert.is((first.own as { name: string }).name, 'unit-b');
      const told = await events(lab.b);
      assert.ok(
        told.some((one) => /takes the place of revision 1 by .*rollback 1/.test(one)),
        told.join('; '),
      );

      const set = await setWeight(lab.a, 3);
      assert.equal(set.replication, {
        ...{ peer: 'unit-b', replicated: true, why: null, message: 'It is on unit-b too.' },
      });
      assert.equal((await configuration(lab.b)).shared, (await configuration(lab.a)).shared);
      assert.match(
        await lab.b.must('set', 'member', 'web', MEMBER, 'draining'),
        /It is on unit-a too/,
      );
      await inStep(lab);

      // A document with another unit section, on a unit that has an odd number of revisions of its own.
      await lab.apply('unit-b', { ...pool(4), unit: { description: 'in the cellar' } });
      await inStep(lab);
      assert.not.match(await lab.a.must('export'), /cellar/);
      await setWeight(lab.a, 5);
      assert.match(await lab.b.must('export'), /cellar[\s\S]*weight: 5/);
      const ids = async (unit: Unit) =>
        (await history(unit)).flatMap(({ shared }) => shared?.id ?? []);
      assert.equal(await ids(lab.a), await ids(lab.b));
      assert.match(await lab.a.must('history'), /MADE ON[\s\S]*unit-b/);

      // Refused by the other unit: nothing is changed on either.
      await lab.apply('unit-b', { ...pool(5), unit: { 'nat-addresses': ['10.77.0.240'] } });
      const before = await ids(lab.a);
      const file = lab.file(
        'clash.yaml',
        JSON.stringify({
          ...{ version: 1, unit: { name: 'unit-a' }, ...pool(6) },
          services: {
            shop: {
              listen: { address: '10.77.0.240', port: 80, protocol: 'tcp' },
              forwarding: 'nat',
              pool: 'web',
            },
          },
        }),
      );
      const refused = await lab.a.weir('apply', file);
      assert.is(refused.status === 0, false, refused.stdout);
      assert.match(refused.stderr, /The other unit refuses it, so nothing was changed/);
      assert.equal(await ids(lab.a), before);
    }),
);

needs.lab(test)('of changes made at the same time one wins, and the other author sees it', () =>
  paired(async (lab) => {
    let refused = 0;
    for (let round = 0; round < 6; round += 1) {
      const weights = [10 + round, 30 + round];
      const answers = await Promise.all(
        [lab.a, lab.b].map((unit, index) =>
          unit.weir('set', 'member', 'web', MEMBER, '--weight', String(weights[index])),
        ),
      );
      const lost = answers.filter(({ status }) => status !== 0);
      refused += lost.length;
      assert.ok(lost.length < 2, lost.map(({ stderr }) => stderr).join('; '));
      for (const { stderr } of lost) {
        assert.match(stderr, /on unit-[ab] committed something else at .*nothing of this was done/);
      }
      await inStep(lab);
    }
    const made = (await history(lab.a)).filter(({ comment }) => comment.startsWith('set member'));
    assert.is(made.length, 12 - refused, 'every change that was acknowledged, and no other');
  }),
);

needs.lab(test)(
  'a unit that was away takes over what it missed; deaths in the middle lose nothing',
  () =>
    paired(async (lab) => {
      await lab.b.end('SIGKILL');
      await until('unit-b is missed', 30_000, async () => {
        const { replication } = await lab.a.status();
        return replication?.state === 'away' || (replication?.message ?? 'no pair');
      });
      const alone = await lab.a.weir('set', 'member', 'web', MEMBER, '--weight', '20');
      assert.is(alone.status, 0);
      assert.match(
        alone.stderr,
        /on this unit only: unit-b is away since .*takes it over when it returns/,
      );
      assert.match(await lab.a.must('status'), /Pair +unit-b is away since .*lacks a change/);
      assert.match(await lab.a.must('history'), /unit-a, here only/);
      await setWeight(lab.a, 21, 'the last word');
      await lab.b.start();
      await inStep(lab);
      assert.is((await history(lab.b))[0]?.comment, 'the last word');

      const acknowledged: string[] = [];
      for (let round = 0; round < 4; round += 1) {
        const victim = round % 2 === 0 ? lab.b : lab.a;
        let dead = false;
        const commits = (async () => {
          for (let count = 0; !dead; count += 1) {
            const comment = `round ${round}, change ${count}`;
            const weight = String(1 + ((round * 50 + count) % 200));
            const answer = await lab.a.weir(
              'set',
              'member',
              'web',
              MEMBER,
              '--weight',
              weight,
              '--comment',
              comment,
            );
            if (answer.status === 0 && /Set: /.test(answer.stdout)) acknowledged.push(comment);
          }
        })();
        const before = acknowledged.length;
        await until('some changes', 60_000, async () => acknowledged.length > before + 1 || 'none');
        await victim.end('SIGKILL');
        dead = true;
        await commits;
        await victim.start();
        await inStep(lab);
      }
      for (const unit of [lab.a, lab.b]) {
        const kept = new Set((await history(unit)).map(({ comment }) => comment));
        assert.equal(
          acknowledged.filter((one) => !kept.has(one)),
          [],
          `lost on ${unit.name}`,
        );
      }
    }),
);

needs.lab(test)(
  'after a split the pair goes on from one side, and nothing of the other is lost',
  () =>
    paired(async (lab) => {
      await lab.cut('inside', { silent: true });
      await lab.cut('cable', { silent: true });
      await lab.untilLinks(0);
      await setWeight(lab.b, 50, 'made on b');
      await setWeight(lab.a, 60, 'made on a');
      await setWeight(lab.a, 61, 'made on a again');
      await lab.mend('inside');
      await lab.mend('cable');
      await inStep(lab);
      for (const unit of [lab.a, lab.b]) {
        assert.match(await unit.must('export'), /weight: 61/, 'more was done on a');
        const rows = await history(unit);
        const lost = rows.find(({ comment }) => comment === 'made on b');
        assert.is(lost?.shared?.state, 'superseded', unit.name);
        assert.is(rows.find(({ comment }) => comment === 'made on a again')?.shared?.state, 'both');
        const what = new RegExp(
          `revision ${lost?.revision} by .* on unit-b is superseded .*weight.*rollback ${lost?.revision}`,
        );
        await until('it is told', 10_000, async () => {
          const told = await events(unit);
          return told.some((one) => what.test(one)) || told.join('; ');
        });
      }
      const lost = (await history(lab.a)).find(({ comment }) => comment === 'made on b');
      await lab.a.must('rollback', String(lost?.revision));
      await inStep(lab);
      assert.match(await lab.b.must('export'), /weight: 50/);
    }),
);

needs.lab(test)('a change that waits to be confirmed waits on both', () =>
  paired(async (lab) => {
    const set = (unit: Unit, weight: number, time: string): Promise<string> =>
      unit.must('set', 'member', 'web', MEMBER, '--weight', String(weight), '--confirm', time);
    const waits = async (unit: Unit): Promise<boolean> =>
      (await unit.status()).pendingConfirm !== null;
    await set(lab.a, 70, '10m');
    assert.ok(await waits(lab.b));
    assert.match(await lab.b.must('confirm'), /It is on unit-a too/);
    assert.not(await waits(lab.a));
    await set(lab.a, 71, '4s');
    await lab.a.end('SIGKILL');
    await until('the other unit goes back', 30_000, async () => !(await waits(lab.b)) || 'waits');
    assert.match(await lab.b.must('export'), /weight: 70/);
    await lab.a.start();
    await inStep(lab);
    const superseded = (await history(lab.a)).filter(
      ({ shared }) => shared?.state === 'superseded',
    );
    assert.equal(superseded, [], 'both went back by the same entry');
  }),
);

test.run();
