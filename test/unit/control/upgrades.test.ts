/** Upgrades as the daemon does them: files as slots, a boot loader in the test, and two units over a real session. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { PeerUpgrade } from '../../../appliance/control/peer-upgrade.js';
import { Upgrades, type UpgradesParts } from '../../../appliance/control/upgrades.js';
import { readChoice } from '../../../appliance/system/slots/environment.js';
import type { Picture } from '../../../appliance/system/slots/judge.js';
import { EventLog } from '../../../appliance/telemetry/event-log.js';
import { SlotScene, withSlots } from '../../support/slot-scene.js';
import { pairOf, type PairUnit } from '../../support/two-units.js';

const test = suite('upgrades');

const WELL: Picture = {
  ...{ links: ['eth0'], addresses: [], routers: [], datapath: ['eth0'] },
  ...{ workers: true, pair: false, pools: {} },
};

/** A daemon of a scene, as far as upgrades go. */
class Run {
  readonly errors: unknown[] = [];
  readonly messages: string[] = [];
  readonly handed: boolean[] = [];
  readonly upgrades: Upgrades;
  peer: PeerUpgrade | null = null;
  picture = WELL;
  hands: 'none' | 'done' | 'remaining' = 'done';
  readonly #waiting = new Set<() => void>();
  rebooted = false;

  constructor(
    readonly scene: SlotScene,
    version: string,
    options: Partial<UpgradesParts> = {},
  ) {
    const events = new EventLog({ onListenerError: (error) => this.errors.push(error) });
    events.subscribe(({ message }) => {
      this.messages.push(message);
      this.wake();
    });
    this.upgrades = new Upgrades({
      keeper: scene.keeper({ version }),
      ...{ version, events, limits: { holdMs: 0, limitMs: 60_000 } },
      picture: async () => this.picture,
      handOver: async (cancel) => {
        this.handed.push(cancel);
        return this.hands;
      },
      reboot: async () => {
        this.rebooted = true;
        this.wake();
      },
      peer: () => this.peer,
      onError: (error) => this.errors.push(error),
      ...options,
    });
  }

  wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  /** As one that is told by the pair. */
  join(unit: PairUnit): void {
    const path = join(this.scene.state, 'upgrade.part');
    const peer = new PeerUpgrade({
      ...this.upgrades.forPeer(path),
      onError: (error) => this.errors.push(error),
    });
    this.peer = peer;
    unit.pair.onSession((session) => {
      peer.attach(session);
    });
    unit.listener = ({ what }) => {
      if (what === 'together') peer.together();
    };
  }

  async close(): Promise<void> {
    await this.upgrades.close();
    await this.peer?.close();
  }
}

const order = (file: string): Parameters<Upgrades['start']>[0] => ({
  ...{ file, allowOlder: false, pair: false, author: 'root' },
});

test('an upgrade hands over, reboots, is judged, and takes its addresses back', () =>
  withSlots(async (scene) => {
    const { path } = await scene.bundle();
    const before = new Run(scene, '0.1.0');
    await before.upgrades.begin();
    await before.upgrades.start(order(path));
    await before.until(() => before.rebooted);
    assert.equal(before.handed, [false]);
    await before.close();

    assert.is(scene.boot(), 'b');
    const after = new Run(scene, '0.2.0');
    try {
      after.picture = { ...WELL, links: [] };
      await after.upgrades.begin();
      assert.is((await after.upgrades.view()).phase, 'trying');
      after.picture = WELL;
      await after.until(() => after.messages.some((one) => one.includes('is good')));
      assert.equal(after.handed, [true]);
      const view = await after.upgrades.view();
      assert.is(view.last?.stage, 'good');
      assert.equal(
        view.slots.map(({ version, good }) => [version, good]),
        [
          ['0.1.0', false],
          ['0.2.0', true],
        ],
      );
      assert.equal(after.errors, []);
    } finally {
      await after.close();
    }
  }));

test('a version with which something is missing is left by itself, and says what', () =>
  withSlots(async (scene) => {
    const { path } = await scene.bundle();
    const before = new Run(scene, '0.1.0');
    await before.upgrades.start(order(path));
    await before.until(() => before.rebooted);
    await before.close();
    scene.boot();
    const limits = { holdMs: 0, limitMs: 0 };
    const bad = new Run(scene, '0.2.0', { limits });
    bad.picture = { ...WELL, datapath: [] };
    await bad.upgrades.begin();
    await bad.until(() => bad.rebooted);
    await bad.close();
    assert.is(scene.boot(), 'a');
    const back = new Run(scene, '0.1.0');
    await back.upgrades.begin();
    assert.equal((await back.upgrades.view()).last?.reason, 'no fast path on eth0');
    assert.equal(back.handed, [true]);
    await back.close();
  }));

test('a daemon that must not reboot says so, and one upgrade is under way at a time', () =>
  withSlots(async (scene) => {
    const { path } = await scene.bundle();
    const run = new Run(scene, '0.1.0', { reboot: null });
    await run.upgrades.start(order(path));
    const conflict = (error: unknown): boolean =>
      error instanceof PortError && error.code === 'conflict';
    try {
      await run.upgrades.start(order(path));
      assert.unreachable();
    } catch (error) {
      assert.ok(conflict(error));
    }
    await run.until(() => run.messages.some((one) => one.includes('reboot this unit')));
    assert.is((await run.upgrades.view()).phase, 'armed');
    await run.close();
    // The daemon alone begins anew: nothing was tried.
    const again = new Run(scene, '0.1.0', { reboot: null });
    await again.upgrades.begin();
    assert.is((await again.upgrades.view()).phase, 'armed');
    await again.close();
  }));

test('what is no bundle is refused with a sentence, and the unit can be upgraded after it', () =>
  withSlots(async (scene) => {
    const run = new Run(scene, '0.1.0');
    try {
      await run.upgrades.start(order(join(scene.state, 'none')));
      assert.unreachable();
    } catch (error) {
      assert.instance(error, PortError);
    }
    const view = await run.upgrades.view();
    assert.is(view.phase, 'idle');
    assert.match(view.problem ?? '', 'cannot be read');
    await run.close();
  }));

/** Both units of a pair with slots; the second one trusts the key of which one. */
async function withPair(
  trusts: 0 | 1,
  run: (a: Run, b: Run, units: readonly [PairUnit, PairUnit]) => Promise<void>,
): Promise<void> {
  const [one, two] = await pairOf();
  const scenes = [new SlotScene(), new SlotScene()] as const;
  const keeper = scenes[1].keeper({ keys: () => [scenes[trusts].keys.publicKey] });
  const runs = [new Run(scenes[0], '0.1.0'), new Run(scenes[1], '0.1.0', { keeper })] as const;
  try {
    runs[0].join(one);
    runs[1].join(two);
    await run(runs[0], runs[1], [one, two]);
  } finally {
    for (const each of runs) await each.close();
    for (const unit of [one, two]) unit.close();
    for (const scene of scenes) scene.close();
  }
}

test('both units of a pair: the other one first, and this one when that one is good', () =>
  withPair(0, async (a, b, [, two]) => {
    const { path, content } = await a.scene.bundle();
    await a.upgrades.start({ ...order(path), pair: true });
    await b.until(() => b.rebooted);
    assert.not(a.rebooted, 'this one waits');
    assert.ok(b.scene.content('b', content.length).equals(content));
    await b.close();
    assert.not(existsSync(join(b.scene.state, 'upgrade.part')));
    two.restart();
    assert.is(b.scene.boot(), 'b');
    const after = new Run(b.scene, '0.2.0');
    after.join(two);
    await after.upgrades.begin();
    await a.until(() => a.rebooted);
    assert.is((await after.upgrades.view()).last?.stage, 'good');
    assert.equal(readChoice(a.scene.environment).trial, 'b');
    assert.ok(a.scene.content('b', content.length).equals(content));
    await after.close();
    assert.equal(a.errors, []);
  }));

test('what the other unit refuses stops the upgrade of both', () =>
  withPair(1, async (a, b) => {
    const { path } = await a.scene.bundle();
    await a.upgrades.start({ ...order(path), pair: true });
    await a.until(() => a.messages.some((one) => one.includes('failed')));
    const { problem, phase } = await a.upgrades.view();
    assert.match(problem ?? '', 'refuses: The bundle is not signed by a key');
    assert.is(phase, 'idle');
    assert.not(a.rebooted);
    assert.equal(readFileSync(b.scene.slot('b')).subarray(0, 1).toString(), 'b');
  }));

test.run();
