/**
 * Clients stick to members: one object for each pool of a service with persistence, in each snapshot.
 *
 * A client stays with its member while that serves or drains, is not ejected and has room; else it gets
 * another one and sticks to that from then on: its session is where it was answered last.
 *
 * Invariant: nothing is allocated for a request, and what clients send can at worst choose no member.
 */
import type { ClientAddress } from '../client-address.js';
import type { FieldSection } from '../http1/fields.js';
import { nameId } from '../http1/names.js';
import { octets } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { L7Persistence } from '../tables.js';
import type { Balancer } from './balancer.js';
import { CookieMint, ValueIndex } from './cookie-mint.js';
import { CookieFinder, setCookieLine } from './cookies.js';
import type { MemberState } from './members.js';
import type { StickyTable } from './sticky-table.js';
import { ValueHash } from './value-hash.js';

/** How a member is chosen for the requests of a service that go to a pool. This one sticks to nothing. */
export class Chooser {
  /** After `choose`: the field line to add to the answer, or null. */
  setCookie: Uint8Array | null = null;

  constructor(readonly balancer: Balancer) {}

  /**
   * The client's member if it can take the request, else the algorithm's choice. As `Balancer.pick`:
   * room is taken, null is nobody, and then `balancer.full` tells why.
   *
   * @param head null for services that are not HTTP
   */
  choose(
    head: RequestHead | null,
    bytes: Uint8Array,
    client: ClientAddress,
    hash: number,
    now: number,
    tried: MemberState | null,
  ): MemberState | null {
    const { balancer } = this;
    this.setCookie = null;
    const sticky = this.lookup(head, bytes, client, now);
    if (sticky !== null && sticky !== tried && balancer.take(sticky, now)) return sticky;
    const member = balancer.pick(hash, now, tried);
    if (member !== null && member !== sticky) {
      this.setCookie = this.learn(head, bytes, client, now, member);
    }
    return member;
  }

  /** The member that the client sticks to, if it can be used. */
  lookup(
    _head: RequestHead | null,
    _bytes: Uint8Array,
    _client: ClientAddress,
    _now: number,
  ): MemberState | null {
    return null;
  }

  /** The client sticks to this member from now on. Returns the field line that tells it, or null. */
  learn(
    _head: RequestHead | null,
    _bytes: Uint8Array,
    _client: ClientAddress,
    _now: number,
    _member: MemberState,
  ): Uint8Array | null {
    return null;
  }

  /** The head of the member's answer is there. */
  answered(_answer: FieldSection, _bytes: Uint8Array, _now: number, _member: MemberState): void {}

  /**
   * Takes out of the request what only Weir asks for, where it lies. To be called right before it is
   * written to the member, so that the copy for another try still has it.
   */
  hide(_head: RequestHead, _bytes: Uint8Array): void {}
}

type CookieSettings = Extract<L7Persistence, { kind: 'cookie' }>;

/** Weir's own cookie names the member. */
class InsertedCookie extends Chooser {
  readonly #finder: CookieFinder;
  readonly #index: ValueIndex;
  readonly #lines = new Map<MemberState, Uint8Array>();

  constructor(balancer: Balancer, settings: CookieSettings, name: string, mint: CookieMint) {
    super(balancer);
    this.#finder = new CookieFinder(name);
    const values = mint.values(balancer.members.map(({ id }) => id));
    this.#index = new ValueIndex(values);
    for (const [index, member] of balancer.members.entries()) {
      this.#lines.set(member, setCookieLine(name, values[index] ?? '', settings));
    }
  }

  override lookup(
    head: RequestHead | null,
    bytes: Uint8Array,
    _client: ClientAddress,
    now: number,
  ): MemberState | null {
    if (head === null) return null;
    const { balancer } = this;
    const finder = this.#finder;
    finder.begin();
    // A client may have several of the name, of other paths or from before: the first good one counts.
    while (finder.next(head, bytes)) {
      const index = this.#index.find(bytes, finder.start, finder.end);
      if (index < 0) continue;
      const member = balancer.members[index] as MemberState;
      if (balancer.usable(member, now)) return member;
    }
    return null;
  }

  override learn(
    head: RequestHead | null,
    _bytes: Uint8Array,
    _client: ClientAddress,
    _now: number,
    member: MemberState,
  ): Uint8Array | null {
    return head === null ? null : (this.#lines.get(member) ?? null);
  }

  override hide(head: RequestHead, bytes: Uint8Array): void {
    this.#finder.remove(head, bytes);
  }
}

/** The rest know their clients by a hash in the table. */
abstract class Remembered extends Chooser {
  readonly #table: StickyTable;
  readonly #timeout: number;
  protected readonly hash: ValueHash;

  constructor(balancer: Balancer, table: StickyTable, timeout: number, scope: string) {
    super(balancer);
    this.#table = table;
    this.#timeout = timeout;
    this.hash = new ValueHash(scope);
  }

  /** Puts what the client is known by into `hash`; false: it shows nothing. */
  protected abstract read(
    head: RequestHead | null,
    bytes: Uint8Array,
    client: ClientAddress,
  ): boolean;

  override lookup(
    head: RequestHead | null,
    bytes: Uint8Array,
    client: ClientAddress,
    now: number,
  ): MemberState | null {
    return this.read(head, bytes, client) ? this.known(now) : null;
  }

  override learn(
    head: RequestHead | null,
    bytes: Uint8Array,
    client: ClientAddress,
    now: number,
    member: MemberState,
  ): null {
    if (this.read(head, bytes, client)) this.remember(now, member);
    return null;
  }

  protected known(now: number): MemberState | null {
    const table = this.#table;
    const { balancer, hash } = this;
    if (!table.find(hash.low, hash.high, now, this.#timeout)) return null;
    const member = balancer.find(table.tagLow, table.tagHigh);
    return member !== null && balancer.usable(member, now) ? member : null;
  }

  protected remember(now: number, member: MemberState): void {
    const { low, high } = this.hash;
    this.#table.put(low, high, member.tagLow, member.tagHigh, now, this.#timeout);
  }
}

/** A cookie that members set. Clients that bring one which nobody knows (after a restart) are learned. */
class ApplicationCookie extends Remembered {
  readonly #finder: CookieFinder;

  constructor(
    balancer: Balancer,
    table: StickyTable,
    settings: { readonly name: string; readonly timeout: number },
    scope: string,
  ) {
    super(balancer, table, settings.timeout, scope);
    this.#finder = new CookieFinder(settings.name);
  }

  protected override read(head: RequestHead | null, bytes: Uint8Array): boolean {
    if (head === null) return false;
    const finder = this.#finder;
    finder.begin();
    while (finder.next(head, bytes)) {
      if (finder.end === finder.start) continue;
      this.hash.of(bytes, finder.start, finder.end);
      return true;
    }
    return false;
  }

  override answered(
    answer: FieldSection,
    bytes: Uint8Array,
    now: number,
    member: MemberState,
  ): void {
    if (!answer.has(nameId['set-cookie'])) return;
    const finder = this.#finder;
    for (let i = 0; i < answer.count; i += 1) {
      if (answer.ids[i] !== nameId['set-cookie'] || !finder.set(answer, bytes, i)) continue;
      this.hash.of(bytes, finder.start, finder.end);
      this.remember(now, member);
    }
  }
}

class HeaderField extends Remembered {
  readonly #name: Uint8Array;

  constructor(
    balancer: Balancer,
    table: StickyTable,
    settings: { readonly name: string; readonly timeout: number },
    scope: string,
  ) {
    super(balancer, table, settings.timeout, scope);
    this.#name = octets(settings.name.toLowerCase());
  }

  protected override read(head: RequestHead | null, bytes: Uint8Array): boolean {
    const index = head === null ? -1 : head.find(bytes, this.#name);
    if (head === null || index < 0) return false;
    const start = head.valueStart[index] as number;
    const end = head.valueEnd[index] as number;
    if (end > start) this.hash.of(bytes, start, end);
    return end > start;
  }
}

/** A parameter of the query; name and value as they are written, percent-encoding and all. */
class QueryParameter extends Remembered {
  readonly #name: Uint8Array;

  constructor(
    balancer: Balancer,
    table: StickyTable,
    settings: { readonly name: string; readonly timeout: number },
    scope: string,
  ) {
    super(balancer, table, settings.timeout, scope);
    this.#name = octets(settings.name);
  }

  protected override read(head: RequestHead | null, bytes: Uint8Array): boolean {
    if (head === null) return false;
    const { pathEnd } = head;
    const { length } = this.#name;
    let p = head.pathStart;
    while (p < pathEnd && bytes[p] !== QUESTION) p += 1;
    while (p < pathEnd) {
      p += 1;
      const start = p;
      while (p < pathEnd && bytes[p] !== AMPERSAND) p += 1;
      const value = start + length + 1;
      if (value >= p || bytes[value - 1] !== EQUALS || !this.#named(bytes, start)) continue;
      this.hash.of(bytes, value, p);
      return true;
    }
    return false;
  }

  #named(bytes: Uint8Array, start: number): boolean {
    const name = this.#name;
    for (let i = 0; i < name.length; i += 1) if (bytes[start + i] !== name[i]) return false;
    return true;
  }
}

const QUESTION = 0x3f;
const AMPERSAND = 0x26;
const EQUALS = 0x3d;

class SourceAddress extends Remembered {
  readonly #bits: number;
  readonly #bits6: number;

  constructor(
    balancer: Balancer,
    table: StickyTable,
    settings: Extract<L7Persistence, { kind: 'source-address' }>,
    scope: string,
  ) {
    super(balancer, table, settings.timeout, scope);
    this.#bits = 96 + settings.prefix;
    this.#bits6 = settings.prefix6;
  }

  protected override read(
    _head: RequestHead | null,
    _bytes: Uint8Array,
    client: ClientAddress,
  ): boolean {
    this.hash.ofPrefix(client.bytes, client.family === 4 ? this.#bits : this.#bits6);
    return true;
  }
}

/** Makes choosers for a worker, and keeps from snapshot to snapshot what is dear to make. */
export class Choosers {
  readonly #table: StickyTable;
  readonly #mints = new Map<string, CookieMint>();
  readonly #used = new Set<string>();

  constructor(table: StickyTable) {
    this.#table = table;
  }

  /** After a snapshot: what it did not ask for is forgotten. */
  retire(): void {
    for (const name of this.#mints.keys()) if (!this.#used.has(name)) this.#mints.delete(name);
    this.#used.clear();
  }

  /**
   * @param service the service's name
   * @param several whether the service leads to more than one pool: then each pool's own cookie has a
   * name of its own (`NAME-` and a hash of the pool's), lest one pool overwrites the other's
   */
  of(
    service: string,
    persistence: L7Persistence | null,
    balancer: Balancer,
    several: boolean,
  ): Chooser {
    if (persistence === null) return new Chooser(balancer);
    const pool = balancer.pool.name;
    const scope = `${persistence.kind}\n${service}\n${pool}`;
    const table = this.#table;
    switch (persistence.kind) {
      case 'cookie': {
        const name = several ? `${persistence.name}-${shortName(pool)}` : persistence.name;
        return new InsertedCookie(balancer, persistence, name, this.#mint(persistence, pool));
      }
      case 'application-cookie':
        return new ApplicationCookie(balancer, table, persistence, scope);
      case 'header':
        return new HeaderField(balancer, table, persistence, scope);
      case 'query':
        return new QueryParameter(balancer, table, persistence, scope);
      case 'source-address':
        return new SourceAddress(balancer, table, persistence, scope);
    }
  }

  #mint({ protection, key }: CookieSettings, pool: string): CookieMint {
    const name = `${protection}\n${key}\n${pool}`;
    this.#used.add(name);
    let mint = this.#mints.get(name);
    if (mint === undefined) {
      mint = new CookieMint(protection, key);
      this.#mints.set(name, mint);
    }
    return mint;
  }
}

function shortName(pool: string): string {
  const hash = new ValueHash('cookie of a pool');
  const text = Buffer.from(pool);
  hash.of(text, 0, text.length);
  return (hash.low >>> 0).toString(16).padStart(8, '0');
}
