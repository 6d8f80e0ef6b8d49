/**
 * The power of one box goes twenty times: while it starts, in the middle of commits, and in the middle of
 * writing a slot. Each time it has to start again by itself, with the last configuration that it had
 * acknowledged, or a later one that was under way, with every acknowledged revision in its history, with all
 * databases sound, and serving.
 *
 * What is lost at a cut, besides the box's memory: QEMU is killed, and what the box had written to its disk
 * since the last flush is lost by chance, in any order and down to single sectors (support/lossy-disk.ts).
 * What is not: anything that the disk confirmed to have flushed. So a commit that was acknowledged
 * before it was flushed would be missed here, as would a write order that only a well-behaved disk keeps.
 *
 *     WEIR_POWER_CUTS   how many, 20 if left out
 *     WEIR_SEED         a number that repeats the choices of another run (moments depend on the machine)
 */
import { randomInt } from 'node:crypto';
import { copyFileSync, constants, truncateSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { developmentKey } from '../../../images/bundle.js';
import { joinProgram } from '../../../images/join.js';
import { LossyDisk } from '../../support/lossy-disk.js';
import { needs } from '../../support/needs.js';
import type { Machine } from '../../support/qemu.js';
import { generator } from '../../support/random.js';
import { inNamespace } from '../namespace.js';
import {
  IMAGE,
  isAnswered,
  makeNetwork,
  makeSeed,
  PATIENCE_MS,
  READY,
  SERVICES,
  since,
  Stage,
} from '../stage.js';
import type { Found, Said } from './committing.js';
import { bundleOf, makeStick, SLOT, trustsDevelopmentKey } from './slots.js';

const CUTS = Number(process.env['WEIR_POWER_CUTS'] ?? 20);
const SEED = Number(process.env['WEIR_SEED'] ?? randomInt(1, 2 ** 31));
const DISK_BYTES = 8 * 2 ** 30;
const BUNDLE = 'again.update';
/** As the stick has it, where Node takes no other name for a module. */
const COMMITTING = 'committing.mjs';

const test = suite('power cuts of the image');
const image = needs.image(test);
const stage = new Stage(test, 'cuts', makeNetwork, prepare);
const files = { seed: '', stick: '', disk: '' };

async function prepare(): Promise<void> {
  trustsDevelopmentKey();
  files.seed = makeSeed(stage.folder('seed'));
  const bundle = stage.file(BUNDLE);
  // The slot that runs, as if it were newer; no cut lets it get as far as being tried.
  await bundleOf(SLOT, bundle, '0.9.0', developmentKey().key);
  const committing = stage.file(COMMITTING);
  joinProgram(fileURLToPath(new URL('committing.js', import.meta.url)), committing);
  files.stick = stage.file('stick.img');
  makeStick(files.stick, [bundle, committing]);
  files.disk = stage.file('disk.img');
  copyFileSync(IMAGE, files.disk, constants.COPYFILE_FICLONE);
  truncateSync(files.disk, DISK_BYTES);
}

const KINDS = ['start', 'commits', 'commits', 'commits', 'slot'] as const;

/** What is known outside of what the box did. */
class Known {
  /** Everything that was begun, and whether it was acknowledged. */
  readonly #commits = new Map<number, boolean>();
  next = 1;

  hear(said: Said): void {
    if ('begun' in said) {
      this.#commits.set(said.begun, false);
      this.next = said.begun + 1;
    }
    if ('done' in said) this.#commits.set(said.done, true);
  }

  /** How many were acknowledged, and the last one. */
  get acknowledged(): { readonly count: number; readonly last: number } {
    const all = [...this.#commits].filter(([, done]) => done).map(([number]) => number);
    return { count: all.length, last: all.at(-1) ?? 0 };
  }

  judge({ number, history, damage, upgrade }: Found): void {
    assert.equal(damage, [], 'all databases are sound');
    const { last } = this.acknowledged;
    const now = number ?? 0;
    assert.ok(
      now === last || (now > last && this.#commits.has(now)),
      `commit ${now} is in force, and ${last} was acknowledged last`,
    );
    assert.is(history.at(-1) ?? 0, now, 'the newest revision is the one in force');
    assert.equal(
      [...this.#commits].filter(([one, done]) => done && !history.includes(one)),
      [],
      'every acknowledged commit is in the history',
    );
    for (const one of history) {
      assert.ok(this.#commits.has(one), `commit ${one} was begun`);
      // What had been under way and is there is there for good.
      this.#commits.set(one, true);
    }
    assert.equal(new Set(history).size, history.length, 'no commit was made twice');
    const good = upgrade.slots.filter((row) => row.running && row.good && !row.trial);
    assert.equal(
      good.map(({ slot }) => slot),
      ['a'],
    );
    assert.is(upgrade.phase, 'idle');
    assert.not.ok(upgrade.last?.stage === 'good', 'no upgrade was finished');
  }
}

/** Runs the program in the box, and hands over what it says until the power goes. */
async function commits(
  machine: Machine,
  known: Known,
  bundle: string,
  hear: (said: Said) => void,
): Promise<void> {
  let heard = 0;
  const words = `node /update/${COMMITTING} ${known.next} ${bundle}`;
  await machine.shell(words, PATIENCE_MS, (text) => {
    const lines = text.split('\n').slice(0, -1);
    for (const line of lines.slice(heard)) if (line.startsWith('{')) hear(JSON.parse(line) as Said);
    heard = lines.length;
  });
}

/** When the power goes, once the box is found to be as it should: tells each thing that is said. */
type Moment = (said: Said) => boolean;

function momentOf(kind: 'commits' | 'slot', random: (below: number) => number): Moment {
  if (kind === 'slot') {
    const part = random(90) / 100;
    return (said) => 'written' in said && said.written >= said.of * part && said.written > 0;
  }
  let left = random(8);
  return (said) => 'begun' in said && left-- === 0;
}

class Box {
  readonly #disk: LossyDisk;
  readonly #random: (below: number) => number;
  readonly known = new Known();
  #startMs = 60_000;

  constructor(disk: LossyDisk, random: (below: number) => number) {
    this.#disk = disk;
    this.#random = random;
  }

  start(): Machine {
    return stage.start({
      ...{
        disk: this.#disk.address,
        seed: files.seed,
        update: files.stick,
        reboots: true,
        watchdog: 'none',
      },
    });
  }

  async cut(machine: Machine, what: string): Promise<void> {
    await machine.cut();
    const { writes, sectors, lost } = await this.#disk.powerLost(this.#random);
    const { count } = this.known.acknowledged;
    console.log(
      `  ${what}: cut after ${since(machine.startedAt)}, ${count} commits acknowledged so far; ` +
        `unflushed: ${writes} writes, ${lost} of ${sectors} sectors lost`,
    );
  }

  /** While it starts. */
  async cutStart(): Promise<void> {
    const machine = this.start();
    await new Promise((resolve) => setTimeout(resolve, this.#random(this.#startMs)));
    await this.cut(machine, 'while it started');
  }

  /** Starts it, finds it sound, and ends its power at the moment; without one when all is seen. */
  async run(kind: 'commits' | 'slot' | null): Promise<void> {
    const machine = this.start();
    await machine.says(READY, PATIENCE_MS);
    this.#startMs = performance.now() - machine.startedAt;
    assert.not.match(machine.console, /repairing|damaged|cannot be mounted|EXT4-fs error/);
    await isAnswered(SERVICES.proxied);
    await isAnswered(SERVICES.fast);
    const moment = kind === null ? () => false : momentOf(kind, this.#random);
    // Within a commit, which takes about as long.
    const later = this.#random(400);
    await new Promise<void>((resolve, reject) => {
      const bundle = kind === 'slot' ? `/update/${BUNDLE}` : '';
      const hear = (said: Said): void => {
        this.known.hear(said);
        if ('found' in said) {
          this.known.judge(said.found);
          if (kind === null) resolve();
        }
        if (moment(said)) setTimeout(resolve, later);
      };
      commits(machine, this.known, bundle, (said) => {
        try {
          hear(said);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      }).then(() => {
        reject(new Error('the program in the box ended'));
      }, reject);
    });
    if (kind !== null) await this.cut(machine, kind === 'slot' ? 'in a slot' : 'in commits');
    else await machine.cut();
  }
}

image(`after each of ${CUTS} power cuts the last configuration is there`, async () => {
  console.log(`  seed ${SEED}`);
  const random = generator(SEED);
  const disk = await LossyDisk.open(files.disk, stage.file('disk.socket'));
  try {
    const box = new Box(disk, random);
    for (let cut = 0; cut < CUTS; cut++) {
      const kind = KINDS[random(KINDS.length)] ?? 'commits';
      if (kind === 'start') await box.cutStart();
      else await box.run(kind);
    }
    await box.run(null);
    assert.ok(box.known.acknowledged.count > 0, 'something was committed');
    assert.ok(disk.cache.flushes > 0, 'the box flushes its disk');
  } finally {
    await stage.cut();
    await disk.close();
  }
});

inNamespace(import.meta.url, () => {
  test.run();
});
