/**
 * Who is asking, and whether they may: each request passes here before anything of it is read.
 *
 *   - `Authorization: Bearer SECRET` (RFC 6750 §2.1) is a session or a token, and counts before all else.
 *   - Without it root is administrator. So are other peers of the socket while there are no users; what
 *     leads to private keys, and pairing, stays root's then.
 *   - With users, whoever else is at the socket logs in. The user of the console does so even as root.
 *
 * Invariant: a route without a rule is refused (roles.ts); acts are written down with who and from where,
 * whether they were done or refused.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Log, PortError } from './port.js';
import { mayAs, type RouteRule, ruleOf } from './roles.js';
import type { Me } from './user-contract.js';
import type { UsersPort } from './user-port.js';

export interface Identity extends Me {
  /** What failures of logins are counted by. */
  readonly source: string;
  /** Null: by who the peer is. */
  readonly secret: string | null;
  /** Root, or an administrator who proved to be one. */
  readonly proven: boolean;
}

/** Where a request comes from. */
export interface Origin {
  /** Null: not by the socket. */
  readonly uid: number | null;
  /** The peer's name on the system, or its address. */
  readonly name: string;
  readonly console: boolean;
}

/** Who sends what nobody may is written down so often a minute: nobody drives the rest out of the audit. */
const STRANGERS_A_MINUTE = 30;

/** Lets root pass, and administrators who are logged in. `why`: what others are told, a sentence. */
export function provenOnly(
  isProven: (request: FastifyRequest) => boolean,
  why: string,
): (request: FastifyRequest) => void {
  return (request) => {
    if (!isProven(request)) throw new PortError('forbidden', why);
  };
}

export class Gate {
  readonly #users: UsersPort;
  readonly #originOf: (request: FastifyRequest) => Origin;
  readonly #identities = new WeakMap<FastifyRequest, Identity>();
  readonly #reasons = new WeakMap<FastifyRequest, string>();
  readonly #looks = new WeakSet<FastifyRequest>();
  #strangers = { minute: 0, count: 0 };

  constructor(users: UsersPort, originOf: (request: FastifyRequest) => Origin) {
    this.#users = users;
    this.#originOf = originOf;
  }

  addTo(app: FastifyInstance, log: Log): void {
    app.addHook('onRequest', async (request) => {
      if (request.is404) return;
      this.#pass(request);
    });
    app.addHook('onError', async (request, _reply, error) => {
      this.#reasons.set(request, error.message);
    });
    app.addHook('onResponse', async (request, reply) => {
      const rule = this.#ruleOf(request);
      if (rule?.act === null || rule === null || request.is404) return;
      try {
        this.#record(request, rule.act, reply.statusCode);
      } catch (error) {
        log.error({ err: error }, 'An act could not be written down.');
      }
    });
  }

  /** Of a request that was let through. @throws Error for a route that anyone may ask. */
  identityOf(request: FastifyRequest): Identity {
    const found = this.#identities.get(request);
    if (found === undefined) throw new Error(`Nobody is known to ask for ${request.url}.`);
    return found;
  }

  /** Where a request comes from, also one of nobody. */
  sourceOf(request: FastifyRequest): { readonly source: string; readonly from: string } {
    const origin = this.#originOf(request);
    return { source: sourceOf(origin), from: fromOf(origin) };
  }

  /** A dry run is no act: whoever edits has their document checked again and again. */
  onlyLooks(request: FastifyRequest): void {
    this.#looks.add(request);
  }

  /** Whether who is asking still may, without counting as use: for answers that go on. */
  stillMay(request: FastifyRequest): boolean {
    const { secret } = this.identityOf(request);
    if (secret !== null) return this.#users.holder(secret, false) !== null;
    const { uid, console } = this.#originOf(request);
    return !this.#users.any || (uid === 0 && !console);
  }

  #ruleOf(request: FastifyRequest): RouteRule | null {
    return ruleOf(request.method, request.routeOptions.url ?? '');
  }

  #pass(request: FastifyRequest): void {
    const rule = this.#ruleOf(request);
    if (rule === null) {
      throw new PortError(
        'forbidden',
        `Nobody may ${request.method} ${request.url}: no role does.`,
      );
    }
    if (rule.role === 'anyone') return;
    const identity = this.#identify(request);
    this.#identities.set(request, identity);
    if (mayAs(identity.role, rule.role)) return;
    throw new PortError(
      'forbidden',
      `This needs the role ${rule.role}, and ${identity.author} has the role ${identity.role}.`,
    );
  }

  #identify(request: FastifyRequest): Identity {
    const origin = this.#originOf(request);
    const from = fromOf(origin);
    const source = sourceOf(origin);
    const { authorization } = request.headers;
    if (authorization !== undefined) {
      const [, secret] = /^Bearer +([\x21-\x7e]{1,200})$/i.exec(authorization) ?? [];
      const holder = secret === undefined ? null : this.#users.holder(secret, true);
      if (secret === undefined || holder === null) {
        throw new PortError(
          'unauthenticated',
          "The session or token is not known, or it is over: log in again ('weir login'), or use another token.",
        );
      }
      const { name, role, via, expires } = holder;
      const author = via === 'token' ? `token ${name}` : `${name} (${from})`;
      const proven = role === 'administrator';
      return { name, role, via, from, author, expires, source, secret, proven };
    }
    const root = origin.uid === 0;
    if (this.#users.any && (!root || origin.console)) {
      throw new PortError(
        'unauthenticated',
        "Log in first: 'weir login', or give a token in WEIR_TOKEN.",
      );
    }
    return {
      ...{ name: origin.name, role: 'administrator', via: root ? 'root' : 'local', from },
      ...{ author: origin.name, expires: null, source, secret: null, proven: root },
    };
  }

  #record(request: FastifyRequest, act: string, status: number): void {
    if (this.#looks.has(request)) return;
    const identity = this.#identities.get(request);
    if (identity === undefined && !this.#another()) return;
    this.#users.record({
      author: identity?.author ?? '(not known)',
      role: identity?.role ?? null,
      from: identity?.from ?? fromOf(this.#originOf(request)),
      act,
      object: request.url.replace(/^\/v1\//, ''),
      status,
      reason: this.#reasons.get(request) ?? '',
    });
  }

  #another(): boolean {
    const minute = Math.floor(Date.now() / 60_000);
    const { count } = this.#strangers.minute === minute ? this.#strangers : { count: 0 };
    this.#strangers = { minute, count: count + 1 };
    return count < STRANGERS_A_MINUTE;
  }
}

function fromOf({ console, name }: Origin): string {
  return console ? 'console' : name;
}

function sourceOf({ console, uid, name }: Origin): string {
  if (console) return 'console';
  return uid === null ? name : `uid ${uid}`;
}
