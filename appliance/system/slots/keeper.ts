/**
 * The steps of an upgrade on this unit, each durable before the next begins. `machine.ts` says what is
 * true after a cut between any two of them.
 */
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type FileHandle, open, statfs } from 'node:fs/promises';
import { writeWhole } from '../../whole-file.js';
import { type Bundle, type BundleHeader, parseHead, readBundle, readSlot } from './bundle.js';
import { type Choice, otherSlot, type Slot, TRIES } from './environment.js';
import { UpgradeError } from './errors.js';
import type { Picture } from './judge.js';
import {
  isOver,
  type Journal,
  journalSchema,
  type Next,
  recover,
  type Upgrade,
} from './machine.js';
import type { SlotFiles } from './slot-files.js';
import { copyStores, dropStores } from './store-copies.js';
import { compareVersions } from './versions.js';

/** What a bundle leaves to the databases, octets. */
const SPARE = 64 << 20;

export interface KeeperOptions {
  readonly files: Pick<SlotFiles, 'running' | 'choice' | 'choose' | 'checkRoom' | 'write'>;
  readonly stateDir: string;
  /** The journal, in the state directory. */
  readonly journal: string;
  /** Of this build. */
  readonly version: string;
  /** Name of this boot. */
  readonly boot: string;
  readonly keys: () => readonly KeyObject[];
  readonly now: () => number;
}

/** Who upgrades, and what is remembered of the unit. */
export interface Begin {
  readonly author: string;
  readonly before: Picture | null;
  readonly handedOver: boolean;
}

/** A bundle that was verified, open. */
export interface Opened extends Bundle {
  readonly file: FileHandle;
}

/** Why this bundle must not be written on a unit of this version, a sentence; null: it may. */
export function whyNotVersion(
  { version, minimumVersion }: BundleHeader,
  present: string,
  allowOlder: boolean,
): string | null {
  if (compareVersions(present, minimumVersion) < 0) {
    return `Version ${version} can be upgraded to from ${minimumVersion} on, and this unit has ${present}: upgrade to one in between first.`;
  }
  if (!allowOlder && compareVersions(version, present) < 0) {
    return `The bundle has version ${version}, which is older than ${present} of this unit: "--allow-older" does it all the same.`;
  }
  return null;
}

export class Keeper {
  readonly #options: KeeperOptions;
  #journal: Journal;

  /** @throws UpgradeError when the journal cannot be read: then nothing is guessed */
  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#journal = readJournal(options.journal);
    const { running } = options.files;
    const known = this.#journal.slots[running];
    if (known?.version !== options.version) {
      this.#know(running, { version: options.version, commit: null });
    }
  }

  get running(): Slot {
    return this.#options.files.running;
  }

  get journal(): Journal {
    return this.#journal;
  }

  get upgrade(): Upgrade | null {
    return this.#journal.upgrade;
  }

  choice(): Choice {
    return this.#options.files.choice();
  }

  /** Makes true what is true after whatever happened. @throws UpgradeError */
  recover(): Next {
    const { files, boot } = this.#options;
    const { running } = files;
    const choice = files.choice();
    const found = recover({ running, boot, choice, upgrade: this.upgrade });
    const changed = JSON.stringify(found.upgrade) !== JSON.stringify(this.upgrade);
    if (changed && found.upgrade !== null) this.#keep(found.upgrade);
    if (JSON.stringify(found.choice) !== JSON.stringify(choice)) files.choose(found.choice);
    return found.next;
  }

  /** Verifies all of a bundle; the caller closes `file`. @throws UpgradeError */
  async open(
    path: string,
    allowOlder: boolean,
    onProgress: (done: number) => void,
    signal?: AbortSignal,
  ): Promise<Opened> {
    const { keys, files, version } = this.#options;
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (cause) {
      throw new UpgradeError('missing', `${path} cannot be read on this unit.`, { cause });
    }
    try {
      if (!(await file.stat()).isFile()) {
        throw new UpgradeError('not-a-bundle', `${path} is no file.`);
      }
      const bundle = await readBundle(file, keys());
      const why = whyNotVersion(bundle.header, version, allowOlder);
      if (why !== null) throw new UpgradeError('version', why);
      await files.checkRoom(bundle.header.slot.size);
      await readSlot(
        file,
        bundle,
        (octets, at) => {
          onProgress(at + octets.length);
        },
        signal,
      );
      return { ...bundle, file };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * Why a bundle that begins so is not wanted, a sentence, before the rest of it is there; null: it is.
   *
   * @param size of the whole, octets, for which `folder` must have room
   */
  async whyNot(
    head: Buffer,
    size: number,
    folder: string,
    allowOlder: boolean,
  ): Promise<string | null> {
    const { keys, version, files } = this.#options;
    const { header, length } = parseHead(head, keys());
    if (size !== length + header.slot.size)
      return 'The bundle has another size than its header says.';
    const why = whyNotVersion(header, version, allowOlder);
    if (why !== null) return why;
    await files.checkRoom(header.slot.size);
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize > size + SPARE
      ? null
      : `The bundle needs ${size} octets in ${folder} for a while, and there are ${bavail * bsize}.`;
  }

  /** Writes the idle slot; then it can be armed. @throws UpgradeError; what was begun is then `failed` */
  async write(
    bundle: Opened,
    begin: Begin,
    onProgress: (done: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const { files, now, stateDir } = this.#options;
    const { running } = files;
    const to = otherSlot(running);
    const { version, commit } = bundle.header;
    this.#begin('writing', { version, back: false }, begin, { [to]: null });
    try {
      dropStores(stateDir, to);
      await files.write(bundle.file, bundle, onProgress, signal);
      copyStores(stateDir, running);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#stage({ stage: 'failed', reason });
      throw error;
    }
    const upgrade: Upgrade = { ...this.#current(), stage: 'written', changed: now() };
    this.#write({ slots: { ...this.#journal.slots, [to]: { version, commit } }, upgrade });
  }

  /** The other slot as it is, instead of a bundle. @throws UpgradeError when it has nothing that boots */
  goBack(begin: Begin): void {
    const { stateDir } = this.#options;
    const content = this.#journal.slots[otherSlot(this.running)];
    if (content === null) {
      const slot = otherSlot(this.running);
      throw new UpgradeError('missing', `Slot ${slot} has no version to go back to.`);
    }
    copyStores(stateDir, this.running);
    this.#begin('written', { version: content.version, back: true }, begin, {});
  }

  /** The next boot tries what was written. */
  arm(): void {
    const { files } = this.#options;
    const { to } = this.#current();
    files.choose({ good: files.running, trial: to, tries: TRIES });
    this.#stage({ stage: 'armed' });
  }

  /** Nothing is tried; the slot stays as written. @throws UpgradeError when nothing waits */
  disarm(reason: string): void {
    const { files } = this.#options;
    this.#stage({ stage: 'failed', reason });
    files.choose({ good: files.running, trial: null, tries: 0 });
  }

  /** The slot on trial is good: it is what boots from now on. */
  markGood(): void {
    const { files } = this.#options;
    files.choose({ good: files.running, trial: null, tries: 0 });
    if (this.upgrade !== null && !isOver(this.upgrade)) this.#stage({ stage: 'good' });
  }

  /** The slot on trial is bad: the next boot is of the other one. */
  fallBack(reason: string): void {
    const { files, boot } = this.#options;
    if (this.upgrade !== null && !isOver(this.upgrade)) {
      this.#stage({ stage: 'fallen-back', reason, boot });
    }
    files.choose({ good: otherSlot(files.running), trial: null, tries: 0 });
  }

  /** The unit has its addresses again, or gave them up. */
  handedOver(is: boolean): void {
    if (this.upgrade !== null) this.#keep({ ...this.upgrade, handedOver: is });
  }

  #begin(
    stage: Upgrade['stage'],
    { version, back }: Pick<Upgrade, 'version' | 'back'>,
    begin: Begin,
    slots: Partial<Journal['slots']>,
  ): void {
    const from = this.running;
    const time = this.#options.now();
    this.#write({
      slots: { ...this.#journal.slots, ...slots },
      upgrade: {
        ...{ stage, from, to: otherSlot(from), version, back, ...begin },
        ...{ began: time, changed: time, reason: null, boot: null },
      },
    });
  }

  #stage(change: Partial<Upgrade>): void {
    this.#keep({ ...this.#current(), ...change, changed: this.#options.now() });
  }

  #current(): Upgrade {
    if (this.upgrade === null || isOver(this.upgrade)) {
      throw new UpgradeError('missing', 'No upgrade is under way.');
    }
    return this.upgrade;
  }

  #know(slot: Slot, content: Journal['slots'][Slot]): void {
    this.#write({ ...this.#journal, slots: { ...this.#journal.slots, [slot]: content } });
  }

  #keep(upgrade: Upgrade): void {
    this.#write({ ...this.#journal, upgrade });
  }

  #write(journal: Journal): void {
    const { journal: path } = this.#options;
    // The boot loader's choice is on another file system: the order of both is that of these waits.
    writeWhole(path, `${JSON.stringify(journal)}\n`, { flush: true });
    this.#journal = journal;
  }
}

function readJournal(path: string): Journal {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    return { slots: { a: null, b: null }, upgrade: null };
  }
  try {
    return journalSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new UpgradeError('damaged', `${path} is damaged: move it away to upgrade again.`, {
      cause,
    });
  }
}
