/** A speaker, its guard and its parent, of which some are killed or stand still. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { groupText, macs, VrrpStage, type UnitPart, type WeirUnit } from './vrrp-stage.js';

const test = suite('VRRP guard');
const lab = needs.lab(test);

const ADDRESS = '10.9.0.80';
const BYTES = '0a090050';
/** As a unit that is dead: about 100 ms; a machine that is busy takes its time. */
const GIVEN_UP = 1000;
const everything = ['parent', 'speaker', 'guard'] as const;

/** `a` is master, `b` backup, at the default interval of a pair. */
async function pair(stage: VrrpStage, patience?: number): Promise<{ a: WeirUnit; b: WeirUnit }> {
  const [a, b] = [stage.weir('a', patience), stage.weir('b')];
  await a.configure([groupText({ interval: 30 }, { priority: 200 })]);
  await a.becomes('master');
  await b.configure([groupText({ interval: 30 }, { priority: 100 })]);
  await b.becomes('backup');
  await stage.claim('a', BYTES);
  return { a, b };
}

for (const [how, signal] of [
  ['is killed', 'SIGKILL'],
  ['stands still', 'SIGSTOP'],
] as const) {
  lab(`a speaker that ${how} while its parent is not there: its guard gives the addresses up`, () =>
    VrrpStage.run(async (stage) => {
      const { a, b } = await pair(stage);
      const seen = stage.frames.length;
      await a.signal('SIGSTOP', 'parent');
      await a.signal(signal);
      const struck = Date.now();
      await stage.frame(
        'a farewell of a',
        (frame): frame is Extract<typeof frame, { kind: 'vrrp' }> =>
          frame.kind === 'vrrp' && frame.from === macs.a && frame.priority === 0,
        seen,
      );
      assert.not(stage.addresses('a').includes(ADDRESS), 'it is off before that is said');
      await b.becomes('master');
      const claimed = await stage.claim('b', BYTES, seen);
      const took = (stage.frameTimes[stage.frames.indexOf(claimed)] ?? 0) - struck;
      console.log(`the other unit announced it after ${took.toFixed(0)} ms`);
      assert.ok(took < GIVEN_UP, `announced by the other unit after ${took} ms`);
      assert.is(stage.reached(ADDRESS), macs.b);
      await a.signal('SIGCONT', 'parent');
      const { how: ended, left } = await a.hears('exit');
      assert.equal([ended, left], ['was ended by SIGKILL', 0]);
    }),
  );
}

lab('a guard that is killed, or stands still, is replaced, and nothing moves', () =>
  VrrpStage.run(async (stage) => {
    const { a, b } = await pair(stage);
    const told = b.messages.length;
    for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
      const [guard, before] = [await a.pidOf('guard'), a.messages.length];
      await a.signal(signal, 'guard');
      const { message } = await a.hears('problem', before, ({ subject }) => subject === 'guard');
      assert.is(message, 'the guard of the speaker was ended by SIGKILL');
      await a.hears('problem', before, (one) => one.subject === 'guard' && one.message === null);
      assert.is.not(await a.pidOf('guard'), guard);
    }
    const roles = b.messages.slice(told).filter(({ kind }) => kind === 'role');
    assert.equal(roles, []);
    await a.signal('SIGSTOP');
    await b.becomes('master');
    await a.hears('exit');
    assert.not(stage.addresses('a').includes(ADDRESS), 'the third guard works as the first');
  }),
);

lab('speaker and guard stand still: the parent ends both, and no address is left', () =>
  VrrpStage.run(async (stage) => {
    const { a, b } = await pair(stage, 1000);
    await a.signal('SIGSTOP', 'guard', 'speaker');
    await b.becomes('master');
    const { how, left } = await a.hears('exit');
    assert.equal([how, left], ['was ended by SIGKILL', 1]);
    assert.not(stage.addresses('a').includes(ADDRESS));
    await stage.claim('b', BYTES);
    assert.is(stage.reached(ADDRESS), macs.b);
  }),
);

/** As much time as a master takes to send so many. */
async function advertisements(stage: VrrpStage, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent += 1) {
    await stage.frame(
      'an advertisement',
      (frame): frame is typeof frame => frame.kind === 'vrrp' && frame.priority > 1,
      stage.frames.length,
    );
  }
}

function ignoreEnded(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ESRCH' && code !== 'ENOENT') throw error;
}

/** Every order of three. */
function orders(parts: readonly UnitPart[]): UnitPart[][] {
  if (parts.length === 0) return [[]];
  return parts.flatMap((first) =>
    orders(parts.filter((part) => part !== first)).map((rest) => [first, ...rest]),
  );
}

for (const [index, order] of orders(everything).entries()) {
  // A pause between two of them that the others can make use of, or none.
  const gap = index % 2 === 0 ? 0 : 5;
  const still = [10, 30, 250][index % 3] ?? 0;
  lab(`a whole unit stands still and goes on, ${order.join(', ')}: few words, one owner`, () =>
    VrrpStage.run(async (stage) => {
      const { a, b } = await pair(stage);
      await a.signal('SIGSTOP', ...everything);
      await b.becomes('master');
      await stage.claim('b', BYTES);
      // B sends while A stands still: up to more than its socket holds.
      await advertisements(stage, still);
      const frozen = stage.frames.length;
      const told = { a: a.messages.length, b: b.messages.length };
      for (const part of order) {
        // A guard that goes on alone for long ends its speaker, and itself.
        await a.signal('SIGCONT', part).catch(ignoreEnded);
        await advertisements(stage, gap);
      }
      await advertisements(stage, 100);
      const frames = stage.frames.slice(frozen);
      const claims = frames.filter(({ kind }) => kind === 'claim').length;
      const roles = [...a.messages.slice(told.a), ...b.messages.slice(told.b)].flatMap((message) =>
        message.kind === 'role' ? [message.role] : [],
      );
      const takeovers = roles.filter((role) => role === 'master').length;
      assert.ok(claims <= 10, `${claims} announcements`);
      assert.ok(takeovers <= 1, `${takeovers} takeovers: ${roles.join(', ')}`);
      const holders = (['a', 'b'] as const).filter((u) => stage.addresses(u).includes(ADDRESS));
      assert.is(holders.length, 1, `held by ${holders.join(' and ') || 'nobody'}`);
      const [holder = 'a'] = holders;
      assert.is(stage.reached(ADDRESS), macs[holder], `${holder} holds it`);
    }),
  );
}

test.run();
