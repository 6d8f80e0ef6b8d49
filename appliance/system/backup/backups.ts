/**
 * Backups of this unit: made, looked into, restored.
 *
 * Invariant: a restore is checked whole before anything is changed, a copy of what was there is on disk
 * before, and what is refused later is taken back. Nothing is removed by it: what the backup lacks stays.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { ApplyResult, Change } from '../../api/contract.js';
import { PortError, type ApplyRequest } from '../../api/port.js';
import type { BackupScope, BackupView, RestoreResult } from '../../api/system-contract.js';
import type { BackupFile } from '../../api/system-port.js';
import { diffDocuments } from '../../config/changes.js';
import { checkDocument } from '../../config/document.js';
import { formatConfigError, type ConfigError } from '../../config/errors.js';
import type { Document, Intent } from '../../config/schema.js';
import { sharedOf, withUnit } from '../../config/shared.js';
import type { ConfigStore, PastRevision } from '../../config/store.js';
import { firstSliceCapabilities, unsupported, type HostKey } from '../../config/support.js';
import { certificatePlace } from '../../control/shared/certificate-shelf.js';
import type { NewCertificate } from '../../tls/certificate-store.js';
import { writeWhole } from '../../whole-file.js';
import { certificateIn } from './certificates.js';
import { BackupError } from './errors.js';
import { seal, unseal } from './format.js';
import type { Part, PartPlan } from './part.js';
import { pack, unpack, wipe, type PartRecord } from './records.js';

export interface BackupsOptions {
  readonly parts: readonly Part[];
  readonly store: Pick<ConfigStore, 'head' | 'past'>;
  readonly apply: (request: ApplyRequest) => Promise<ApplyResult>;
  /** What a document asks that is neither in the store nor among these. */
  readonly checkCertificates: (
    intent: Intent,
    also: ReadonlyMap<string, Pick<NewCertificate, 'kind' | 'source'>>,
  ) => ConfigError[];
  readonly unit: () => string;
  readonly paired: () => boolean;
  readonly version: string;
  /** Folder of the copies from before a restore. */
  readonly copies: string;
  /** What of the host is Weir's to set; left out: nothing. */
  readonly host?: readonly HostKey[];
  readonly now?: () => number;
  /** log2 of scrypt's N; left out: as dear as it should be. */
  readonly cost?: number;
}

const aboutSchema = z.strictObject({
  unit: z.string().max(256),
  version: z.string().max(64),
  time: z.int().min(0),
  author: z.string().max(256),
  scope: z.enum(['unit', 'configuration']),
  revision: z.int().min(1).nullable(),
});
type About = z.output<typeof aboutSchema>;

const revisionSchema = z.strictObject({
  number: z.int().min(1),
  time: z.int().min(0),
  author: z.string(),
  comment: z.string(),
  changes: z.string(),
});

const ABOUT = 'about';
const DOCUMENT = 'document';
const HISTORY = 'history';
/** Revisions that are read in one turn of the event loop. */
const PAGE = 20;

interface Content {
  readonly about: About;
  readonly document: Document | null;
  readonly history: readonly PastRevision[];
  readonly records: readonly PartRecord[];
}

interface Plan {
  /** What is applied; null: nothing. */
  readonly document: Document | null;
  readonly changes: readonly Change[];
  readonly parts: readonly PartPlan[];
  readonly history: readonly PastRevision[] | null;
  readonly notes: readonly string[];
}

export class Backups {
  readonly #options: BackupsOptions;
  /** Restores wait for one another. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /** @throws PortError */
  async make(request: {
    readonly scope: BackupScope;
    readonly passphrase: string;
    readonly author: string;
  }): Promise<Buffer> {
    const { scope, passphrase, author } = request;
    const { store, unit, version, parts, now = Date.now, cost } = this.#options;
    // One turn of the event loop in which nobody else writes, so all of it is of one moment. The history
    // may take more turns, since it is only ever added to.
    const head = store.head();
    const about: About = {
      ...{ unit: unit(), version, time: now(), author, scope },
      revision: head?.number ?? null,
    };
    const records: PartRecord[] = [record(ABOUT, 'about', about)];
    if (head !== null) {
      records.push(record(DOCUMENT, 'document', null, JSON.stringify(head.document)));
    }
    try {
      if (scope === 'unit') {
        for (const part of parts) {
          for (const entry of part.read()) records.push({ ...entry, part: part.name });
        }
        await this.#readHistory(head?.number ?? 0, records);
      }
      const packed = await pack(records);
      try {
        return await seal(packed, passphrase, cost);
      } finally {
        packed.fill(0);
      }
    } catch (error) {
      throw asRefusal(error);
    } finally {
      wipe(records);
    }
  }

  /** Changes nothing. @throws PortError */
  async inspect(file: BackupFile): Promise<BackupView> {
    const content = await this.#open(file);
    try {
      let plan: Plan | null = null;
      let refusal: string | null = null;
      try {
        plan = this.#plan(content, file.configurationOnly);
      } catch (error) {
        refusal = asRefusal(error).message;
      }
      return {
        ...content.about,
        parts: this.#rows(content),
        restore: { changes: plan?.changes ?? [], notes: plan?.notes ?? [], refusal },
      };
    } finally {
      wipe(content.records);
    }
  }

  /** @throws PortError */
  restore(
    request: BackupFile & { readonly author: string; readonly comment: string },
  ): Promise<RestoreResult> {
    const done = this.#turn.then(() => this.#restore(request));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #restore(
    request: BackupFile & { readonly author: string; readonly comment: string },
  ): Promise<RestoreResult> {
    const content = await this.#open(request);
    try {
      this.#plan(content, request.configurationOnly);
      const copy = await this.#keepCopy(request);
      // Again, since things may have changed meanwhile; from here on in one turn until all parts are in.
      const plan = this.#plan(content, request.configurationOnly);
      const begun: PartPlan[] = [];
      try {
        for (const part of plan.parts) {
          begun.push(part);
          part.carryOut();
        }
        const { notes } = plan;
        if (plan.document === null) {
          return { revision: null, changes: [], warnings: [], notes, copy };
        }
        const { unit, time, revision } = content.about;
        const applied = await this.#options.apply({
          source: { document: plan.document },
          dryRun: false,
          author: request.author,
          comment:
            request.comment ||
            `restored from the backup of ${unit} of ${new Date(time).toISOString()}, revision ${revision ?? 'none'}`,
          ...(plan.history === null ? {} : { history: plan.history }),
        });
        const { changes, warnings } = applied;
        return {
          ...{ changes, warnings, notes, copy },
          revision: changes.length === 0 && plan.history === null ? null : applied.revision,
        };
      } catch (error) {
        for (const part of begun.reverse()) part.undo();
        throw error;
      }
    } catch (error) {
      throw asRefusal(error);
    } finally {
      wipe(content.records);
    }
  }

  /** What a restore would do. @throws whatever says why it cannot */
  #plan({ about, document, history, records }: Content, configurationOnly: boolean): Plan {
    const { store, parts, paired } = this.#options;
    const whole = about.scope === 'unit' && !configurationOnly;
    const notes: string[] = [];
    const plans: PartPlan[] = [];
    if (whole) {
      const known = new Set([ABOUT, DOCUMENT, HISTORY, ...parts.map(({ name }) => name)]);
      const foreign = records.find(({ part }) => !known.has(part));
      if (foreign !== undefined) {
        throw new BackupError(
          `The backup has a part "${foreign.part}", which this Weir does not know: restore it with version ${about.version} or a newer one, or only its configuration.`,
        );
      }
      for (const part of parts) {
        const plan = part.plan(records.filter((one) => one.part === part.name));
        plans.push(plan);
        notes.push(...plan.changes);
      }
    }
    const head = store.head();
    const fresh = head === null && !paired();
    if (document === null) {
      notes.push('the backup has no configuration: that unit had none');
      return { document, changes: [], parts: plans, history: null, notes };
    }
    // Two units of one name, or with the addresses of one, are no pair any more.
    const foreign = paired() && head !== null && about.unit !== this.#options.unit();
    if (foreign) notes.push(`keeps the section unit: the backup is of ${about.unit}`);
    const wanted = foreign ? withUnit(sharedOf(document), head.document.unit) : document;
    const checked = checkDocument(wanted);
    if (!checked.ok) throw new BackupError(sentences(checked.errors));
    const lacking = unsupported(checked.intent, {
      ...firstSliceCapabilities,
      host: this.#options.host ?? [],
    });
    if (lacking.length > 0) throw new BackupError(sentences(lacking));
    const also = whole ? certificatesIn(records) : new Map<string, NewCertificate>();
    const missing = this.#options.checkCertificates(checked.intent, also);
    if (missing.length > 0) throw new BackupError(sentences(missing));
    if (whole && history.length > 0) {
      notes.push(
        fresh
          ? `takes the history of ${history.length} ${history.length === 1 ? 'revision' : 'revisions'}`
          : 'leaves the history of that unit: this one has its own, and gets one revision more',
      );
    }
    if (paired()) {
      notes.push(
        'the other unit of the pair gets the configuration and all that is shared; the pair stays as it is',
      );
    }
    // The last one comes as the revision that is made now.
    const past = whole && fresh ? withoutLast(history) : null;
    return {
      document: wanted,
      changes: diffDocuments(head?.document ?? null, checked.document),
      parts: plans,
      history: past,
      notes,
    };
  }

  async #open({ bytes, passphrase }: BackupFile): Promise<Content> {
    try {
      const packed = await unseal(bytes, passphrase);
      let records: PartRecord[];
      try {
        records = await unpack(packed);
      } finally {
        packed.fill(0);
      }
      try {
        return read(records);
      } catch (error) {
        wipe(records);
        throw error;
      }
    } catch (error) {
      throw asRefusal(error);
    }
  }

  async #readHistory(last: number, records: PartRecord[]): Promise<void> {
    for (let from = 1; from <= last;) {
      const page = this.#options.store.past(from, Math.min(PAGE, last - from + 1));
      for (const { document, ...meta } of page) {
        records.push(record(HISTORY, String(meta.number), meta, document));
      }
      const newest = page.at(-1);
      if (newest === undefined) return;
      from = newest.number + 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** What is there now, as a backup with the same passphrase. Returns its path. */
  async #keepCopy(request: {
    readonly passphrase: string;
    readonly author: string;
  }): Promise<string> {
    const { passphrase, author } = request;
    const { copies, now = Date.now } = this.#options;
    const bytes = await this.make({ scope: 'unit', passphrase, author });
    const stamp = new Date(now()).toISOString().replace(/[:.]/g, '-');
    const path = join(copies, `before-restore-${stamp}.weirbackup`);
    mkdirSync(copies, { recursive: true, mode: 0o700 });
    writeWhole(path, bytes, { flush: true });
    return path;
  }

  #rows({ about, document, history, records }: Content): BackupView['parts'] {
    const configuration =
      document === null
        ? []
        : [
            {
              name: DOCUMENT,
              title: 'configuration',
              entries: [`revision ${about.revision ?? 0}`],
            },
          ];
    const past =
      history.length === 0
        ? []
        : [{ name: HISTORY, title: 'history', entries: [`${history.length} revisions`] }];
    const others = this.#options.parts.flatMap(({ name, title }) => {
      const entries = records.filter(({ part }) => part === name).map(({ key }) => key);
      return entries.length === 0 ? [] : [{ name, title, entries }];
    });
    return [...configuration, ...past, ...others];
  }
}

function record(part: string, key: string, meta: unknown, text = ''): PartRecord {
  return { part, key, meta, body: Buffer.from(text) };
}

/** @throws BackupError */
function read(records: readonly PartRecord[]): Content {
  const about = aboutSchema.safeParse(records.find(({ part }) => part === ABOUT)?.meta);
  if (!about.success) throw new BackupError('The backup does not say what it is of.');
  const text = records.find(({ part }) => part === DOCUMENT)?.body.toString('utf8');
  const history = records
    .filter(({ part }) => part === HISTORY)
    .map(({ meta, body }): PastRevision => {
      const parsed = revisionSchema.safeParse(meta);
      if (!parsed.success) throw new BackupError('A revision of the backup is none.');
      return { ...parsed.data, document: body.toString('utf8') };
    });
  if (history.some(({ number }, index) => number !== index + 1)) {
    throw new BackupError('The history of the backup has gaps.');
  }
  return { about: about.data, document: documentOf(text), history, records };
}

function documentOf(text: string | undefined): Document | null {
  if (text === undefined) return null;
  try {
    // `checkDocument` judges it before anything else has it.
    return JSON.parse(text) as Document;
  } catch (cause) {
    throw new BackupError('The configuration of the backup cannot be read.', { cause });
  }
}

/** Before the newest ones that have its document: what is restored is one revision that differs. */
function withoutLast(history: readonly PastRevision[]): PastRevision[] {
  const newest = history.at(-1);
  let left = history.length;
  while (left > 0 && history[left - 1]?.document === newest?.document) left--;
  return history.slice(0, left);
}

function certificatesIn(records: readonly PartRecord[]): Map<string, NewCertificate> {
  const found = new Map<string, NewCertificate>();
  for (const entry of records) {
    if (entry.part !== 'certificates') continue;
    const { name, waiting } = certificatePlace(entry.key);
    if (!waiting || !found.has(name)) found.set(name, certificateIn(entry));
  }
  return found;
}

function sentences(errors: readonly ConfigError[]): string {
  const [first, ...others] = errors;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return `The configuration of the backup is refused: ${first === undefined ? '' : formatConfigError(first)}${more}`;
}

/** What the parts say are sentences for people, too. */
function asRefusal(error: unknown): Error {
  if (error instanceof PortError || !(error instanceof Error)) {
    return error instanceof Error ? error : new Error(String(error));
  }
  const system = 'errno' in error;
  return new PortError(system ? 'unavailable' : 'invalid', error.message, { cause: error });
}
