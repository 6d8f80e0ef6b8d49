/**
 * Upgrades of this unit as an administrator orders them: the bundle is verified, the other unit of the pair
 * goes first if that is wished, the idle slot is written, addresses are handed over, the unit
 * reboots, and the next boot's daemon judges what came of it.
 *
 * Invariant: one upgrade at a time. What survives a reboot is the keeper's; here is only what is under way.
 */
import { PortError } from '../api/port.js';
import type { SlotRow, UpgradePhase, UpgradeView } from '../api/upgrade-contract.js';
import type { UpgradePort, UpgradeRequest } from '../api/upgrade-port.js';
import { dirname } from 'node:path';
import type { PeerState } from '../ha/upgrade/messages.js';
import type { SentBundle } from '../ha/upgrade/sender.js';
import { SLOTS } from '../system/slots/environment.js';
import { UpgradeError } from '../system/slots/errors.js';
import {
  beginJudging,
  judge,
  type JudgeState,
  missing,
  type Picture,
} from '../system/slots/judge.js';
import type { Begin, Keeper, Opened } from '../system/slots/keeper.js';
import { isOver } from '../system/slots/machine.js';
import type { PeerUpgradeOptions } from './peer-upgrade.js';
import type { EventLog, NewEvent } from '../telemetry/event-log.js';

export interface UpgradesParts {
  /** A sentence: this unit has no slots, and why. */
  readonly keeper: Keeper | string;
  readonly version: string;
  readonly events: Pick<EventLog, 'append'>;
  /** The unit as it is. */
  readonly picture: () => Promise<Picture>;
  /** Gives up all addresses, or takes them back. Resolves to whether that was done, and whether some remain. */
  readonly handOver: (cancel: boolean, author: string) => Promise<'none' | 'done' | 'remaining'>;
  /** Null: the daemon must not. */
  readonly reboot: (() => Promise<void>) | null;
  /** Null: in no pair. */
  readonly peer: () => {
    run(
      bundle: SentBundle,
      onProgress: (what: string, progress: PeerState['progress']) => void,
      signal: AbortSignal,
    ): Promise<void>;
    told(): void;
  } | null;
  readonly onError: (error: unknown) => void;
  readonly now?: () => number;
  readonly limits?: { readonly holdMs: number; readonly limitMs: number };
}

const SECOND = 1000;

export class Upgrades implements UpgradePort {
  readonly #parts: UpgradesParts;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  #phase: UpgradePhase = 'idle';
  #progress: UpgradeView['progress'] = null;
  #otherUnit: string | null = null;
  #problem: string | null = null;
  #judging: JudgeState | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looking = false;
  #work: Promise<void> | null = null;

  constructor(parts: UpgradesParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
  }

  /** The daemon serves: looks at what the last boot left. */
  async begin(): Promise<void> {
    const { keeper } = this.#parts;
    if (typeof keeper === 'string') return;
    const former = keeper.upgrade;
    const next = keeper.recover();
    const { upgrade } = keeper;
    if (upgrade !== null && former !== null && upgrade.stage !== former.stage) {
      if (isOver(upgrade)) this.#tellEnd();
    }
    if (next === 'judge') {
      this.#enter('trying');
      this.#judging = beginJudging(this.#now());
      this.#timer = setInterval(() => void this.#look(), SECOND);
      this.#tell('info', `slot ${keeper.running} with version ${this.#parts.version} is tried`);
    } else if (next === 'reboot') await this.#reboot('falls back');
    else if (upgrade?.stage === 'armed') this.#enter('armed');
    else await this.#takeBack();
  }

  async view(): Promise<UpgradeView> {
    const { keeper, version, reboot } = this.#parts;
    const common = {
      ...{ version, phase: this.#phase, progress: this.#progress, otherUnit: this.#otherUnit },
      ...{
        problem: this.#problem,
        missing: this.#judging?.missing ?? [],
        reboots: reboot !== null,
      },
    };
    if (typeof keeper === 'string') return { ...common, unable: keeper, slots: [], last: null };
    let unable: string | null = null;
    let choice: { good: string | null; trial: string | null } = { good: null, trial: null };
    try {
      choice = keeper.choice();
    } catch (error) {
      unable = sentenceOf(error);
    }
    const slots = SLOTS.map((slot): SlotRow => {
      const content = keeper.journal.slots[slot];
      return {
        ...{ slot, running: slot === keeper.running },
        ...{ good: slot === choice.good, trial: slot === choice.trial },
        ...{ version: content?.version ?? null, commit: content?.commit ?? null },
      };
    });
    return { ...common, unable, slots, last: lastOf(keeper) };
  }

  async start({ file, allowOlder, pair, author }: UpgradeRequest): Promise<UpgradeView> {
    const keeper = this.#ready();
    const peer = this.#parts.peer();
    if (pair && peer === null) {
      throw new PortError('conflict', 'This unit is in no pair: leave --pair out.');
    }
    this.#enter('verifying');
    const opened = await asPort(async () => {
      try {
        return await keeper.open(file, allowOlder, this.#count(null), this.#stop.signal);
      } catch (error) {
        this.#failed(error);
        throw error;
      }
    });
    this.#tell('info', `${author} upgrades to version ${opened.header.version}`, author);
    this.#begin(async () => {
      try {
        if (pair && peer !== null) await this.#other(peer, opened, { allowOlder, author });
        const begin = await this.#before(author);
        this.#enter('writing');
        const total = opened.header.slot.size * 2;
        await keeper.write(opened, begin, this.#count(total), this.#stop.signal);
      } finally {
        await opened.file.close();
      }
      await this.#leave(keeper, author, pair);
    });
    return this.view();
  }

  async back({ author }: { readonly author: string }): Promise<UpgradeView> {
    const keeper = this.#ready();
    this.#enter('handing-over');
    try {
      const begin = await this.#before(author);
      await asPort(async () => {
        keeper.goBack(begin);
      });
    } catch (error) {
      this.#failed(error);
      throw error;
    }
    this.#tell('info', `${author} goes back to version ${keeper.upgrade?.version ?? ''}`, author);
    this.#begin(() => this.#leave(keeper, author, false));
    return this.view();
  }

  /** For bundles that the other unit sends, which are kept at `path` while they are needed. */
  forPeer(path: string): Pick<PeerUpgradeOptions, 'path' | 'refuse' | 'start' | 'state'> {
    return {
      path,
      state: () => this.state(),
      refuse: async ({ head, size, allowOlder }) => {
        try {
          return await this.#ready().whyNot(head, size, dirname(path), allowOlder);
        } catch (error) {
          return sentenceOf(error);
        }
      },
      start: async (order) => {
        await this.start({ ...order, file: path, pair: false });
        await this.#work;
      },
    };
  }

  state(): PeerState {
    const { keeper, version } = this.#parts;
    const last = typeof keeper === 'string' ? null : lastOf(keeper);
    return {
      ...{ version, phase: this.#phase, progress: this.#progress, problem: this.#problem },
      last: last && {
        ...{ stage: last.stage, version: last.version, began: last.began, reason: last.reason },
      },
    };
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#stop.abort(new UpgradeError('busy', 'The daemon ends.'));
    await this.#work;
  }

  #ready(): Keeper {
    const { keeper } = this.#parts;
    if (typeof keeper === 'string') throw new PortError('conflict', keeper);
    switch (this.#phase) {
      case 'idle':
        return keeper;
      case 'armed':
        throw new PortError(
          'conflict',
          'An upgrade waits for the reboot already: reboot the unit.',
        );
      case 'trying':
        throw new PortError(
          'conflict',
          'This boot is the trial of an upgrade: wait until it is good or falls back.',
        );
      default:
        throw new PortError(
          'conflict',
          'An upgrade is under way already: see "weir upgrade status".',
        );
    }
  }

  #begin(work: () => Promise<void>): void {
    this.#work = work().catch((error: unknown) => {
      this.#failed(error);
    });
  }

  async #before(author: string): Promise<Begin> {
    return { author, before: await this.#parts.picture(), handedOver: false };
  }

  async #other(
    peer: NonNullable<ReturnType<UpgradesParts['peer']>>,
    opened: Opened,
    order: { readonly allowOlder: boolean; readonly author: string },
  ): Promise<void> {
    this.#enter('other-unit');
    const { file, offset, header } = opened;
    const head = Buffer.alloc(offset);
    await file.read(head, 0, offset, 0);
    const size = offset + header.slot.size;
    await peer.run(
      { file, head, size, version: header.version, ...order },
      (what, progress) => {
        this.#otherUnit = what;
        this.#progress = progress;
      },
      this.#stop.signal,
    );
    this.#otherUnit = null;
    this.#tell('info', `the other unit has version ${header.version} and is well`, order.author);
  }

  /** What is written is tried: addresses first, then the choice, then the boot. */
  async #leave(keeper: Keeper, author: string, pair: boolean): Promise<void> {
    this.#enter('handing-over');
    const handed = await this.#parts.handOver(false, author);
    if (handed !== 'none') keeper.handedOver(true);
    if (handed === 'remaining' && pair) {
      await this.#takeBack();
      keeper.disarm('the other unit did not take the addresses over');
      throw new UpgradeError(
        'busy',
        'The other unit did not take the addresses over, so this one is not rebooted.',
      );
    }
    keeper.arm();
    await this.#reboot('is ready');
  }

  async #reboot(what: string): Promise<void> {
    const { reboot } = this.#parts;
    if (reboot === null) {
      this.#enter('armed');
      this.#tell(
        'warning',
        `the other slot ${what}: reboot this unit, since the daemon must not (--power)`,
      );
      return;
    }
    this.#enter('rebooting');
    this.#tell('info', `the other slot ${what}: this unit reboots`);
    await reboot();
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#judging === null) return;
    this.#looking = true;
    try {
      const now = await this.#found();
      this.#judging = judge(this.#judging, this.#now(), now, this.#parts.limits);
      if (this.#judging.verdict !== 'waiting') await this.#judged(this.#judging);
    } catch (error) {
      this.#parts.onError(error);
    } finally {
      this.#looking = false;
    }
  }

  async #found(): Promise<readonly string[] | null> {
    const { keeper, picture } = this.#parts;
    try {
      const now = await picture();
      const before = typeof keeper === 'string' ? null : keeper.upgrade?.before;
      return before === null || before === undefined ? [] : missing(before, now);
    } catch (error) {
      this.#parts.onError(error);
      return null;
    }
  }

  async #judged({ verdict, missing: lacking }: JudgeState): Promise<void> {
    const { keeper } = this.#parts;
    if (typeof keeper === 'string') return;
    if (verdict === 'good') keeper.markGood();
    else keeper.fallBack(lacking.join('; '));
    // Only now: what could not be written is tried again with the next look.
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#judging = null;
    this.#tellEnd();
    if (verdict === 'good') {
      this.#enter('idle');
      await this.#takeBack();
    } else await this.#reboot('is the one from before');
  }

  async #takeBack(): Promise<void> {
    const { keeper, handOver } = this.#parts;
    if (typeof keeper === 'string' || keeper.upgrade?.handedOver !== true) return;
    await handOver(true, keeper.upgrade.author);
    keeper.handedOver(false);
  }

  #enter(phase: UpgradePhase): void {
    this.#phase = phase;
    this.#progress = null;
    if (phase === 'verifying' || phase === 'handing-over') this.#problem = null;
    this.#parts.peer()?.told();
  }

  /** `total` null: it is the bundle's, which is not known before it was read. */
  #count(total: number | null): (done: number) => void {
    return (done) => {
      this.#progress = { done, total: total ?? done };
    };
  }

  #failed(error: unknown): void {
    this.#problem = sentenceOf(error);
    this.#otherUnit = null;
    this.#tell('error', `the upgrade failed: ${this.#problem}`);
    if (
      !(error instanceof Error) ||
      !['UpgradeError', 'SenderError', 'PortError'].includes(error.name)
    ) {
      this.#parts.onError(error);
    }
    this.#enter('idle');
  }

  #tellEnd(): void {
    const { keeper } = this.#parts;
    if (typeof keeper === 'string' || keeper.upgrade === null) return;
    const { stage, from, version, reason } = keeper.upgrade;
    const named = version === null ? 'the other version' : `version ${version}`;
    if (stage === 'good')
      this.#tell('info', `${named} is good: slot ${keeper.running} boots from now on`);
    else if (stage === 'fallen-back') {
      this.#tell('error', `this unit goes back to slot ${from} from ${named}: ${reason ?? ''}`);
    } else this.#tell('warning', `the upgrade to ${named} failed: ${reason ?? ''}`);
  }

  #tell(severity: 'info' | 'warning' | 'error', message: string, author?: string): void {
    const subject: NewEvent['subject'] = author === undefined ? {} : { author };
    this.#parts.events.append({ kind: 'upgrade', severity, message, subject });
  }
}

function lastOf({ upgrade }: Keeper): UpgradeView['last'] {
  if (upgrade === null) return null;
  const { stage, version, back, author, began, changed, reason } = upgrade;
  return { stage, version, back, author, began, changed, reason };
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function asPort<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UpgradeError)) throw error;
    const code = { disk: 'unavailable', missing: 'unavailable', busy: 'conflict' } as const;
    const { code: what } = error;
    const answer =
      what === 'disk' || what === 'missing' || what === 'busy' ? code[what] : 'bad-request';
    throw new PortError(answer, error.message, { cause: error });
  }
}
