/**
 * Users, logins and tokens, behind the API: who may be added, changed and removed, and who is believed.
 * Each of it is told as an event.
 *
 * Invariant: there is always an administrator who can log in, once there was a user; and nobody learns
 * from an answer, or from the time that it takes, whether a name is one of a user.
 */
import { createHash } from 'node:crypto';
import { PortError } from '../api/port.js';
import type { AuditRow, LoggedIn, TokenCreated, TokenRow, UserRow } from '../api/user-contract.js';
import type { Holder, UsersPort } from '../api/user-port.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { AuditLog } from '../users/audit-log.js';
import { LockOut, NAME_RULES, SOURCE_RULES, type LockOutRules } from '../users/lock-out.js';
import { passwordProblem, Passwords, TooManyLogins } from '../users/password.js';
import { digestOf, newSecret, Sessions, type SessionRules } from '../users/sessions.js';
import { isAccountName, type StoredUser, type UserStore } from '../users/user-store.js';

export interface UsersOptions {
  readonly store: UserStore;
  readonly audit: Pick<AuditLog, 'append' | 'latest'>;
  readonly events: Pick<EventLog, 'append'>;
  readonly onError: (error: unknown) => void;
  readonly passwords?: Passwords;
  readonly sessions?: SessionRules;
  readonly nameRules?: LockOutRules;
  readonly sourceRules?: LockOutRules;
  readonly now?: () => number;
}

/** Use of a token is written down no more often. */
const SEEN_EVERY_MS = 60_000;
/** Authors of changes that are no users. */
const RESERVED = ['root', 'weir', 'token', 'console'];

export class Users implements UsersPort {
  readonly #options: UsersOptions;
  readonly #store: UserStore;
  readonly #passwords: Passwords;
  readonly #sessions: Sessions;
  readonly #names: LockOut;
  readonly #sources: LockOut;
  readonly #now: () => number;
  /** Names of tokens by SHA-256, made anew when tokens change. */
  #byHash: ReadonlyMap<string, string> | null = null;
  readonly #stop: () => void;

  constructor(options: UsersOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#passwords = options.passwords ?? new Passwords();
    this.#sessions = new Sessions(options.sessions);
    this.#names = new LockOut(options.nameRules ?? NAME_RULES);
    this.#sources = new LockOut(options.sourceRules ?? SOURCE_RULES);
    this.#now = options.now ?? Date.now;
    this.#stop = this.#store.onChange((kind, name) => {
      if (kind === 'token') this.#byHash = null;
      else if (this.#store.get('user', name)?.disabled !== false) this.#sessions.closeAll(name);
    });
  }

  get any(): boolean {
    return this.#store.versions('user').length > 0;
  }

  holder(secret: string, use: boolean): Holder | null {
    const now = this.#now();
    const session = this.#sessions.find(secret, now, use);
    if (session !== null) {
      const { name, stamp, expires } = session;
      const user = this.#store.get('user', name);
      if (user === null || user.disabled || stampOf(user) !== stamp) return null;
      return { name, role: user.role, via: 'session', expires };
    }
    const name = this.#tokensByHash().get(digestOf(secret));
    const token = name === undefined ? null : this.#store.get('token', name);
    if (name === undefined || token === null) return null;
    if (token.expires !== null && token.expires <= now) return null;
    if (use) this.#seen('token', name, now);
    return { name, role: token.role, via: 'token', expires: token.expires };
  }

  async login({ name, password, source, from }: Parameters<UsersPort['login']>[0]) {
    const known = this.#store.get('user', name) !== null;
    // Somebody may have typed the password where the name belongs.
    const author = known ? name : '(unknown name)';
    const act = { author, role: null, from, act: 'log in', object: '' };
    try {
      const user = await this.#check(name, password, { author, source, from });
      const { secret, expires } = this.#sessions.open(name, stampOf(user), this.#now());
      this.#seen('user', name, this.#now());
      this.#tell('login', 'info', `${name} (${from}) logged in`, `${name} (${from})`);
      this.record({ ...act, role: user.role, status: 200, reason: '' });
      const { idleMs } = this.#sessions.rules;
      return { token: secret, name, role: user.role, expires, idleMs } satisfies LoggedIn;
    } catch (error) {
      if (error instanceof PortError) {
        const status = error.code === 'locked' ? 429 : 401;
        this.record({ ...act, status, reason: error.message.replace(name, author) });
      }
      throw error;
    }
  }

  logout({ secret, author }: { readonly secret: string; readonly author: string }): void {
    if (this.#sessions.close(secret) !== null) {
      this.#tell('login', 'info', `${author} logged out`, author);
    }
  }

  list(): UserRow[] {
    return this.#store.list('user').map(({ name }) => this.#row(name));
  }

  async add({ name, role, password, author }: Parameters<UsersPort['add']>[0]): Promise<UserRow> {
    if (!isAccountName(name) || RESERVED.includes(name)) {
      throw new PortError(
        'bad-request',
        `'${name}' cannot be a user: names are 1 to 32 of a-z 0-9 . _ -, begin with a letter, and are none of ${RESERVED.join(', ')}.`,
      );
    }
    const free = (): void => {
      if (this.#store.get('user', name) !== null) {
        throw new PortError('conflict', `There is a user ${name} already.`);
      }
      if (role !== 'administrator' && this.#administrators() === 0) {
        throw new PortError(
          'conflict',
          'The first user must be an administrator, who can then add others.',
        );
      }
    };
    free();
    const hash = await this.#hash(password, name);
    // Others may have added it meanwhile.
    free();
    const now = this.#now();
    this.#put(name, { role, disabled: false, created: now, passwordChanged: now, hash });
    this.#names.forget(name);
    this.#tell('user', 'info', `${author}: added the user ${name}, ${role}`, author);
    return this.#row(name);
  }

  async set(request: Parameters<UsersPort['set']>[0]): Promise<UserRow> {
    const { name, password, author } = request;
    this.#get(name);
    const hash = password === undefined ? undefined : await this.#hash(password, name);
    const user = this.#get(name);
    const { role = user.role, disabled = user.disabled } = request;
    if (role !== 'administrator' || disabled) {
      this.#keepOne(name, disabled ? 'disabled' : `made ${role}`);
    }
    const changed = hash === undefined ? {} : { hash, passwordChanged: this.#now() };
    this.#put(name, { ...user, role, disabled, ...changed });
    if (hash !== undefined) this.#names.forget(name);
    const what = [
      ...(role === user.role ? [] : [`role ${role}`]),
      ...(disabled === user.disabled ? [] : [disabled ? 'disabled' : 'enabled']),
      ...(hash === undefined ? [] : ['a new password']),
    ];
    if (what.length > 0) {
      this.#tell('user', 'info', `${author}: the user ${name} has ${what.join(', ')}`, author);
    }
    return this.#row(name);
  }

  async changePassword(request: Parameters<UsersPort['changePassword']>[0]): Promise<UserRow> {
    const { name, old, password, source, author } = request;
    const problem = passwordProblem(password, name);
    if (problem !== null) throw new PortError('bad-request', problem);
    try {
      await this.#check(name, old, { author: name, source, from: author });
    } catch (error) {
      if (!(error instanceof PortError) || error.code !== 'unauthenticated') throw error;
      // The session is well.
      throw new PortError('forbidden', 'The old password is wrong.');
    }
    return this.set({ name, password, author });
  }

  remove({ name, author }: { readonly name: string; readonly author: string }): void {
    this.#get(name);
    this.#keepOne(name, 'removed');
    this.#put(name, null);
    this.#tell('user', 'info', `${author}: removed the user ${name}`, author);
  }

  unlock({ name, author }: { readonly name: string; readonly author: string }): UserRow {
    this.#get(name);
    if (this.#names.forget(name)) {
      this.#tell('login', 'info', `${author}: logins as ${name} are tried again`, author);
    }
    return this.#row(name);
  }

  tokens(): TokenRow[] {
    return this.#store.list('token').map(({ name }) => this.#tokenRow(name));
  }

  createToken(request: Parameters<UsersPort['createToken']>[0]): TokenCreated {
    const { name, role, lifetimeMs, author } = request;
    if (!isAccountName(name)) {
      throw new PortError(
        'bad-request',
        `'${name}' cannot be a token's name: they are 1 to 32 of a-z 0-9 . _ - and begin with a letter.`,
      );
    }
    if (this.#store.get('token', name) !== null) {
      throw new PortError('conflict', `There is a token ${name} already: revoke it first.`);
    }
    const now = this.#now();
    const token = newSecret('token');
    const expires = lifetimeMs === null ? null : now + lifetimeMs;
    const hash = digestOf(token);
    this.#full(() => this.#store.put('token', name, { role, created: now, expires, author, hash }));
    const until = expires === null ? '' : `, until ${new Date(expires).toISOString()}`;
    this.#tell('user', 'info', `${author}: made the token ${name}, ${role}${until}`, author);
    return { ...this.#tokenRow(name), token };
  }

  revokeToken({ name, author }: { readonly name: string; readonly author: string }): void {
    if (this.#store.get('token', name) === null) {
      throw new PortError('not-found', `There is no token ${name}.`);
    }
    this.#store.put('token', name, null);
    this.#tell('user', 'info', `${author}: revoked the token ${name}`, author);
  }

  audit(query: { readonly limit: number; readonly before?: number }): AuditRow[] {
    return this.#options.audit.latest(query);
  }

  record(act: Omit<AuditRow, 'number' | 'time'>): void {
    try {
      this.#options.audit.append(act, this.#now());
    } catch (error) {
      this.#options.onError(error);
    }
  }

  close(): void {
    this.#stop();
  }

  /** The user, when the password is right. Counts, and tells of, what fails. */
  async #check(
    name: string,
    password: string,
    { author, source, from }: Readonly<Record<'author' | 'source' | 'from', string>>,
  ): Promise<StoredUser> {
    const now = this.#now();
    this.#refuseLocked(`as ${name}`, this.#names.lockedUntil(name, now), now);
    this.#refuseLocked('from here', this.#sources.lockedUntil(source, now), now);
    const locks = [
      { what: `as ${author}`, until: this.#names.attempt(name, now) },
      { what: `from ${from}`, until: this.#sources.attempt(source, now) },
    ];
    const before = this.#store.get('user', name);
    let right: boolean;
    try {
      right = await this.#passwords.matches(password, before?.hash ?? null);
    } catch (error) {
      this.#names.takeBack(name);
      this.#sources.takeBack(source);
      throw asPortError(error);
    }
    const user = this.#store.get('user', name);
    if (right && user !== null && user.hash === before?.hash && !user.disabled) {
      this.#names.forget(name);
      this.#sources.takeBack(source);
      return user;
    }
    this.#tell('login', 'warning', `a login as ${author} from ${from} failed`, author);
    for (const { what, until } of locks) {
      if (until === null) continue;
      const end = new Date(until).toISOString();
      this.#tell('login', 'warning', `logins ${what} are not tried until ${end}`, author);
    }
    throw new PortError('unauthenticated', 'The name or the password is wrong.');
  }

  #refuseLocked(what: string, until: number | null, now: number): void {
    if (until === null) return;
    const seconds = Math.ceil((until - now) / 1000);
    const span = seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
    throw new PortError(
      'locked',
      `Logins ${what} are not tried for another ${span}, because too many failed. An administrator can end that by 'weir user unlock'.`,
      { retryAfterMs: until - now },
    );
  }

  async #hash(password: string, name: string): Promise<string> {
    const problem = passwordProblem(password, name);
    if (problem !== null) throw new PortError('bad-request', problem);
    try {
      return await this.#passwords.hash(password);
    } catch (error) {
      throw asPortError(error);
    }
  }

  #get(name: string): StoredUser {
    const user = this.#store.get('user', name);
    if (user === null) throw new PortError('not-found', `There is no user ${name}.`);
    return user;
  }

  #put(name: string, user: StoredUser | null): void {
    this.#full(() => this.#store.put('user', name, user));
  }

  #full(put: () => void): void {
    try {
      put();
    } catch (cause) {
      this.#options.onError(cause);
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new PortError('unavailable', `This could not be kept: ${why}`, { cause });
    }
  }

  #administrators(except?: string): number {
    return this.#store
      .list('user')
      .filter((one) => one.role === 'administrator' && !one.disabled && one.name !== except).length;
  }

  #keepOne(name: string, what: string): void {
    if (this.#administrators(name) > 0) return;
    throw new PortError(
      'conflict',
      `${name} is the last administrator and cannot be ${what}: add another one first.`,
    );
  }

  #row(name: string): UserRow {
    const now = this.#now();
    const user = this.#get(name);
    const { role, disabled, created, passwordChanged } = user;
    return {
      ...{ name, role, disabled, created, passwordChanged },
      lastLogin: this.#store.seen('user', name),
      lockedUntil: this.#names.lockedUntil(name, now),
      sessions: this.#sessions.count(name, stampOf(user), now),
    };
  }

  #tokenRow(name: string): TokenRow {
    const token = this.#store.get('token', name);
    if (token === null) throw new PortError('not-found', `There is no token ${name}.`);
    const { role, created, expires, author } = token;
    return { name, role, created, expires, author, lastUsed: this.#store.seen('token', name) };
  }

  #tokensByHash(): ReadonlyMap<string, string> {
    this.#byHash ??= new Map(this.#store.list('token').map(({ hash, name }) => [hash, name]));
    return this.#byHash;
  }

  #seen(kind: 'user' | 'token', name: string, now: number): void {
    try {
      const last = this.#store.seen(kind, name);
      if (last !== null && now >= last && now - last < SEEN_EVERY_MS) return;
      this.#store.see(kind, name, now);
    } catch (error) {
      // Who is right is let in, also when the disk is full.
      this.#options.onError(error);
    }
  }

  #tell(kind: 'login' | 'user', severity: 'info' | 'warning', message: string, author: string) {
    const told = { message, subject: { author } };
    if (kind === 'login') this.#options.events.append({ ...told, kind, severity });
    else this.#options.events.append({ ...told, kind, severity: 'info' });
  }
}

function stampOf({ hash }: StoredUser): string {
  return createHash('sha256').update(hash).digest('hex');
}

function asPortError(error: unknown): unknown {
  return error instanceof TooManyLogins
    ? new PortError('unavailable', error.message, { cause: error })
    : error;
}
