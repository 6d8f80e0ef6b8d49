/**
 * Who may use the services, right now: lists of the document, of their files and temporary
 * entries, without what has expired. Answers what people ask about them.
 *
 * Invariant: equal content keeps its identity, so the compiler and the tiers see by `===` that
 * nothing changed; the first moment at which something expires wakes the loop.
 */
import type {
  AccessRow,
  AccessView as AccessAnswer,
  Alarm,
  TemporaryAccessRow,
  AccessTestRow,
} from '../api/contract.js';
import { PortError } from '../api/port.js';
import { parseAddress } from '../config/addresses.js';
import { MAX_ENTRIES, type AccessEntries } from '../config/access-entries.js';
import { parsePrefixKey, prefixText, type PrefixKey } from '../config/prefix-key.js';
import { isProxied } from '../config/protocols.js';
import type { AccessList, Intent } from '../config/schema.js';
import type { AccessFiles } from './access-files.js';
import { decide } from './access-sets.js';
import type { AccessView, TemporaryAccess } from './compile-protection.js';
import type { Feed } from './access-feed.js';
import type { Tables } from './tables.js';

export interface TemporaryRequest {
  readonly prefix: string;
  readonly verdict: 'allow' | 'deny';
  /** Null: for every service. */
  readonly service: string | null;
  readonly forMs: number;
  readonly author: string;
  readonly comment: string;
}

export interface AccessParts {
  readonly files: AccessFiles;
  readonly entries: AccessEntries;
  /** Something that the compiler looks at changed. */
  readonly onChange: () => void;
  readonly now?: () => number;
}

interface Temporary extends TemporaryAccess {
  readonly expires: number;
}

interface Known {
  readonly list: AccessList;
  readonly feed: Feed | null;
  /** When the next of its entries ends; it is computed again then. */
  readonly until: number;
  readonly keys: readonly PrefixKey[];
}

/** The longest that a timer of Node.js waits. */
const LONGEST_MS = 2 ** 31 - 1;

export class Access {
  readonly #parts: AccessParts;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();
  #temporary: readonly Temporary[] | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: AccessParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
  }

  /** What the compiler needs to know. */
  view(): AccessView {
    return {
      entries: (name, list) => this.#entries(name, list),
      temporary: this.#entriesNow(),
    };
  }

  /** After each run: watches the files of this intent only, and sets the clock for what expires next. */
  follow(intent: Intent): void {
    const lists = intent['access-lists'];
    this.#parts.files.keepOnly(
      new Set(Object.values(lists).flatMap(({ file }) => (file === undefined ? [] : [file]))),
    );
    for (const name of this.#known.keys())
      if (!Object.hasOwn(lists, name)) this.#known.delete(name);
    this.#schedule();
  }

  /** What is wrong with a file; null when nothing is. */
  problemOf(path: string): string | null {
    return this.#parts.files.state(path).problem;
  }

  /** Sentences about files that cannot be taken. */
  alarms(intent: Intent | null): Alarm[] {
    return Object.entries(intent?.['access-lists'] ?? {}).flatMap(([name, { file }]): Alarm[] => {
      const state = file === undefined ? undefined : this.#parts.files.state(file);
      if (state === undefined || state.problem === null) return [];
      const what =
        state.feed.keys.length === 0
          ? 'it has no content from its file'
          : 'its last good content counts';
      return [
        {
          code: 'access-list',
          severity: 'error',
          message: `Access list ${name}: ${state.problem}; ${what} until the file is right.`,
          object: name,
          since: state.problemSince,
        },
      ];
    });
  }

  show(intent: Intent | null, used: number, limit: number): AccessAnswer {
    const lists = Object.entries(intent?.['access-lists'] ?? {}).map(([name, list]): AccessRow => {
      const state = list.file === undefined ? undefined : this.#parts.files.state(list.file);
      const services = Object.entries(intent?.services ?? {});
      const using = (key: 'allow' | 'deny'): string[] =>
        services.flatMap(([service, { access }]) =>
          access?.[key]?.includes(name) === true ? [service] : [],
        );
      return {
        name,
        prefixes: this.#entries(name, list).length,
        file: list.file ?? null,
        loaded: state?.loaded ?? null,
        problem: state?.problem ?? null,
        expires: list.expires ?? null,
        allowedBy: using('allow'),
        deniedBy: using('deny'),
      };
    });
    return { lists, temporary: this.#rows(), entries: used, limit };
  }

  /** What would happen to a packet from this address. Errors: bad-request, not-found. */
  test(intent: Intent | null, tables: Tables, address: string, only?: string): AccessTestRow[] {
    const parsed = parseAddress(address);
    if (!parsed.ok) throw new PortError('bad-request', `${parsed.message}.`);
    const services = [...tables.l4.services.keys()].filter(
      (name) => only === undefined || name === only,
    );
    if (only !== undefined && services.length === 0) {
      throw new PortError(
        'not-found',
        `The fast path has no service ${only}: see "weir show services".`,
      );
    }
    return services.map((service): AccessTestRow => {
      const set = tables.l4.protection?.services.get(service)?.access ?? null;
      if (set === null) {
        return {
          service,
          verdict: 'allow',
          prefix: null,
          because: 'the service has no access lists',
        };
      }
      const { verdict, key } = decide(set, parsed.value);
      return {
        service,
        verdict,
        prefix: prefixText(key),
        because: this.#because(intent, service, key, verdict),
      };
    });
  }

  /** Errors: bad-request, not-found, conflict. */
  put(request: TemporaryRequest, intent: Intent | null): TemporaryAccessRow {
    const key = parsePrefixKey(request.prefix);
    if (!key.ok) throw new PortError('bad-request', `${key.message}.`);
    const { service } = request;
    if (service !== null && !Object.hasOwn(intent?.services ?? {}, service)) {
      throw new PortError('not-found', `There is no service ${service}: see "weir show services".`);
    }
    const named = service === null ? undefined : intent?.services[service];
    if (named !== undefined && isProxied(named)) {
      throw new PortError(
        'bad-request',
        `The service ${service} is proxied, and access lists are for packets that are forwarded: write client-address into its routes.`,
      );
    }
    const now = this.#now();
    const entry: TemporaryAccessRow = {
      prefix: prefixText(key.value),
      verdict: request.verdict,
      service,
      created: now,
      expires: now + request.forMs,
      author: request.author,
      comment: request.comment,
    };
    this.#parts.entries.prune(now);
    if (!this.#parts.entries.put(entry)) {
      throw new PortError(
        'conflict',
        `There are ${MAX_ENTRIES} temporary entries, and no more fit: remove some, or write a list into the document.`,
      );
    }
    this.#changed();
    return entry;
  }

  /** Errors: bad-request, not-found. */
  remove(prefix: string, service: string | null): void {
    const key = parsePrefixKey(prefix);
    if (!key.ok) throw new PortError('bad-request', `${key.message}.`);
    if (!this.#parts.entries.remove(prefixText(key.value), service, this.#now())) {
      const whose = service === null ? 'for every service' : `of the service ${service}`;
      throw new PortError(
        'not-found',
        `There is no temporary entry ${prefixText(key.value)} ${whose}: see "weir access show".`,
      );
    }
    this.#changed();
  }

  /** The other unit of the pair has changed temporary entries. */
  taken(): void {
    this.#changed();
  }

  reload(): Promise<void> {
    return this.#parts.files.reload();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#parts.files.close();
    this.#parts.entries.close();
  }

  #entries(name: string, list: AccessList): readonly PrefixKey[] {
    const now = this.#now();
    const feed = list.file === undefined ? null : this.#parts.files.state(list.file).feed;
    const known = this.#known.get(name);
    if (
      known !== undefined &&
      known.feed === feed &&
      now < known.until &&
      sameList(known.list, list)
    ) {
      return known.keys;
    }
    const { keys, until } = current(list, feed, now);
    const unchanged = known !== undefined && sameKeys(known.keys, keys);
    const kept = unchanged ? known.keys : keys;
    this.#known.set(name, { list, feed, until, keys: kept });
    return kept;
  }

  #entriesNow(): readonly Temporary[] {
    const now = this.#now();
    if (this.#temporary === null || this.#temporary.some(({ expires }) => expires <= now)) {
      this.#parts.entries.prune(now);
      const before = this.#temporary ?? [];
      this.#temporary = this.#parts.entries.list().flatMap((row) => {
        const key = parsePrefixKey(row.prefix);
        if (!key.ok) return [];
        const { verdict, service, expires } = row;
        const same = before.find(
          (one) => one.key === key.value && one.service === service && one.verdict === verdict,
        );
        return [same?.expires === expires ? same : { key: key.value, verdict, service, expires }];
      });
    }
    return this.#temporary;
  }

  #rows(): TemporaryAccessRow[] {
    const now = this.#now();
    return this.#parts.entries.list().filter(({ expires }) => expires > now);
  }

  #because(intent: Intent | null, service: string, key: PrefixKey, verdict: string): string {
    const mine = this.#entriesNow().filter(
      (one) => one.key === key && (one.service === null || one.service === service),
    );
    const temporary = mine.find((one) => one.service === service) ?? mine[0];
    if (temporary !== undefined) return 'a temporary entry';
    const { access } = intent?.services[service] ?? {};
    const names = (verdict === 'deny' ? access?.deny : access?.allow) ?? [];
    for (const name of names) {
      const list = intent?.['access-lists'][name];
      if (list !== undefined && this.#entries(name, list).includes(key)) return `the list ${name}`;
    }
    return access?.allow === undefined
      ? 'no list names it'
      : 'no list names it, and the service allows only those on its lists';
  }

  #changed(): void {
    this.#temporary = null;
    this.#schedule();
    this.#parts.onChange();
  }

  #schedule(): void {
    const ends = [
      ...Array.from(this.#known.values(), ({ until }) => until),
      ...this.#entriesNow().map(({ expires }) => expires),
    ];
    const next = ends.reduce((least, one) => Math.min(least, one), Infinity);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (next === Infinity) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#parts.onChange();
        this.#schedule();
      },
      Math.min(LONGEST_MS, Math.max(1, next - this.#now())),
    );
    this.#timer.unref();
  }
}

/** What a list holds at a time, and until when that is so. */
function current(
  list: AccessList,
  feed: Feed | null,
  now: number,
): { keys: readonly PrefixKey[]; until: number } {
  if (list.expires !== undefined && list.expires <= now) return { keys: [], until: Infinity };
  let until = list.expires ?? Infinity;
  let fromFile = feed?.keys ?? [];
  if (feed !== null && feed.expires.size > 0) {
    for (const time of feed.expires.values()) if (time > now) until = Math.min(until, time);
    fromFile = feed.keys.filter((_key, index) => (feed.expires.get(index) ?? Infinity) > now);
  }
  if (fromFile.length === 0) return { keys: list.prefixes, until };
  return { keys: list.prefixes.length === 0 ? fromFile : [...list.prefixes, ...fromFile], until };
}

function sameList(a: AccessList, b: AccessList): boolean {
  return (
    a === b || (a.expires === b.expires && a.file === b.file && sameKeys(a.prefixes, b.prefixes))
  );
}

function sameKeys(a: readonly PrefixKey[], b: readonly PrefixKey[]): boolean {
  return a === b || (a.length === b.length && a.every((key, index) => key === b[index]));
}
