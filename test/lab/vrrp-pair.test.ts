/** Speakers of a pair with a cable between them, and speakers that outlive their parent. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { heartbeats } from '../../appliance/ha/vrrp/paths/settings.js';
import type { PathsText } from '../../appliance/ha/vrrp/speaker/messages.js';
import { needs } from '../support/needs.js';
import { groupText, macs, VrrpStage, type UnitName, type WeirUnit } from './vrrp-stage.js';

const test = suite('VRRP pair');
const lab = needs.lab(test);
const ADDRESS = '10.9.0.80';
const BYTES = '0a090050';
const INTERVAL = 1000;
/** In milliseconds, on a machine that is busy: silence alone would take three intervals. */
const TOLD = INTERVAL / 2;

function paths(unit: UnitName, key = 'ab'): PathsText {
  const [own, other] = unit === 'a' ? [1, 2] : [2, 1];
  return {
    key: key.repeat(32),
    port: 9348,
    ...heartbeats(100),
    paths: [
      {
        ...{ name: 'cable', interface: 'pair0', family: 4 },
        ...{ local: `10.9.9.${own}`, remote: `10.9.9.${other}` },
      },
      {
        ...{ name: 'lan', interface: 'eth0', family: 4 },
        ...{ local: `10.9.0.${own}`, remote: `10.9.0.${other}` },
      },
    ],
  };
}

async function pair(stage: VrrpStage): Promise<{ a: WeirUnit; b: WeirUnit }> {
  stage.cable();
  const [a, b] = [stage.weir('a'), stage.weir('b')];
  const group = (priority: number) => [groupText({ interval: INTERVAL }, { priority })];
  await a.configure(group(200), paths('a'));
  await a.becomes('master');
  await b.configure(group(100), paths('b'));
  for (const unit of [a, b]) {
    await unit.hears('paths', 0, (message) => message.paths.every(({ alive }) => alive));
  }
  return { a, b };
}

lab('a link that goes down, and a speaker that ends, are told over the cable', () =>
  VrrpStage.run(async (stage) => {
    const { a, b } = await pair(stage);
    let told = b.messages.length;
    const seen = stage.frames.length;
    stage.port('a', 'down');
    const down = Date.now();
    const { why } = await b.hears('role', told, ({ role }) => role === 'master');
    assert.is(why, 'the other unit gave it up');
    const claimed =
      stage.frameTimes[stage.frames.indexOf(await stage.claim('b', BYTES, seen))] ?? 0;
    console.log(
      `taken over and announced ${(claimed - down).toFixed(1)} ms after the link went down`,
    );
    assert.ok(claimed - down < TOLD, `${claimed - down} ms after the link went down`);
    stage.port('a', 'up');
    await a.becomes('master', a.messages.length);
    told = b.messages.length;
    await b.hears('paths', 0, (message) => message.paths.every(({ alive }) => alive));
    await a.stop();
    assert.is(
      (await b.hears('role', told, ({ role }) => role === 'master')).why,
      'the other unit gave it up',
    );
    assert.is(stage.reached(ADDRESS), macs.b);
  }),
);

lab('one that dies is known by the silence of all paths', () =>
  VrrpStage.run(async (stage) => {
    const { a, b } = await pair(stage);
    const told = b.messages.length;
    await a.signal('SIGSTOP', 'guard', 'speaker');
    const { why } = await b.hears('role', told, ({ role }) => role === 'master');
    assert.is(why, 'the other unit is silent on every path');
    await a.signal('SIGKILL', 'guard', 'speaker');
    await a.hears('exit');
    assert.is(stage.reached(ADDRESS), macs.b);
  }),
);

lab('another key: nothing is believed', () =>
  VrrpStage.run(async (stage) => {
    stage.cable();
    const [a, b] = [stage.weir('a'), stage.weir('b')];
    await a.configure([groupText({}, { priority: 200 })], paths('a'));
    await a.becomes('master');
    await b.configure([groupText({}, { priority: 100 })], paths('b', 'cd'));
    for (let count = 0; count < 10; count += 1) {
      await stage.advertisement('a', stage.frames.length);
    }
    const seen = [...a.messages, ...b.messages].flatMap((message) =>
      message.kind === 'paths' ? message.paths.filter(({ alive }) => alive) : [],
    );
    assert.equal(seen, []);
  }),
);

lab('a speaker outlives its parent, and the next one adopts it without a word to the network', () =>
  VrrpStage.run(async (stage) => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-speaker-'));
    try {
      const state = join(folder, 'speaker.json');
      const a = stage.weir('a', 60_000, state);
      await a.configure([groupText({}, { priority: 200 })]);
      await a.becomes('master');
      assert.is(statSync(state).mode & 0o777, 0o600);
      const pid = await a.pid();
      process.kill(a.parent, 'SIGKILL');
      await a.end();
      const seen = stage.frames.length;
      const next = stage.weir('a', 60_000, state);
      assert.is(await next.pid(), pid, 'the same process');
      await next.hears('role', 0, ({ role }) => role === 'master');
      await next.configure([groupText({}, { priority: 200 })]);
      await stage.advertisement('a', stage.frames.length);
      assert.ok(stage.addresses('a').includes(ADDRESS));
      const others = stage.frames
        .slice(seen)
        .filter((frame) => frame.kind === 'vrrp' && frame.priority !== 200);
      assert.equal(others, [], 'it never gave anything up');
      assert.is(await next.stop(), 'has ended');
      assert.not(stage.addresses('a').includes(ADDRESS));
      assert.throws(() => statSync(state), undefined, 'nobody looks for it any more');
    } finally {
      rmSync(folder, { recursive: true });
    }
  }),
);

test.run();
