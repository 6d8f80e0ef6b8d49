/**
 * What every proxy of the layer-7 benchmark is asked to do, and what an adapter of one looks like.
 *
 * 10 hosts with 5 paths each lead to 5 pools of 2 members. A request gets one field and loses one,
 * an answer gets one, members are told the client's address, and a cookie keeps a client at its
 * member. Nothing is logged for each request, counters are on.
 */
import type { KeyKind, TestCertificate } from '../support/tls-material.js';

export interface MemberAddress {
  /** The value of the cookie, where the administrator chooses it. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface Pool {
  readonly name: string;
  readonly members: readonly MemberAddress[];
}

export interface Route {
  readonly host: string;
  /** A prefix that ends with a slash. */
  readonly path: string;
  readonly pool: string;
}

export interface Scene {
  readonly pools: readonly Pool[];
  readonly routes: readonly Route[];
}

const HOSTS = 10;
export const POOLS = 5;
export const MEMBERS = 2;

export const scene = {
  cookie: 'SRV',
  requestSet: { name: 'X-Edge', value: 'bench' },
  requestRemove: 'X-Debug',
  responseSet: { name: 'X-Served-By', value: 'bench' },
} as const;

export function memberLabel(pool: number, member: number): string {
  return `p${pool}/m${member + 1}`;
}

/** The scene with its members at ports of 127.0.0.1: of each pool's first members, its second ones … */
export function sceneAt(ports: readonly (readonly number[])[]): Scene {
  const pools = Array.from({ length: POOLS }, (_pool, pool) => ({
    name: `p${pool}`,
    members: Array.from({ length: MEMBERS }, (_member, member) => {
      const port = ports[member]?.[pool];
      if (port === undefined)
        throw new RangeError(`pool ${pool} has no port for its member ${member + 1}`);
      return { name: `m${member + 1}`, address: '127.0.0.1', port };
    }),
  }));
  const routes = Array.from({ length: HOSTS * POOLS }, (_, index) => {
    const host = Math.floor(index / POOLS);
    const path = index % POOLS;
    return {
      host: `h${host}.example`,
      path: `/s${path}/`,
      pool: `p${(host + path) % POOLS}`,
    };
  });
  return { pools, routes };
}

/** The routes to each pool. */
export function routesByPool({ pools, routes }: Scene): Route[][] {
  return pools.map(({ name }) => routes.filter(({ pool }) => pool === name));
}

/** Of each kind of key the certificate that proxies show, as files. */
export type Certificates = Readonly<Record<KeyKind, TestCertificate>>;

export interface Started {
  readonly pid: number;
  /** Where it speaks in the clear, and where with TLS by a certificate of each kind of key. */
  readonly port: number;
  readonly tls: Readonly<Record<KeyKind, number>>;
}

export interface ProxySettings {
  readonly scene: Scene;
  readonly certificates: Certificates;
  /** Processes or threads that serve. */
  readonly workers: number;
  /** CPUs that they may use; null: any. */
  readonly cpus: readonly number[] | null;
  /** A directory of its own for whatever it writes. */
  readonly folder: string;
}

export interface Proxy {
  readonly name: string;
  readonly version: string;
  /** Resolves when it answers. CPU time is that of `pid` and its descendants. */
  start(settings: ProxySettings): Promise<Started>;
  stop(): Promise<void>;
}

/** What a body's path ends with, and how long the body is. */
export const bodies = { small: 100, '64k': 64 * 1024, '10m': 10 * 1024 * 1024 } as const;
export type Body = keyof typeof bodies;
/** The path at which members answer with the head that they got. */
export const ECHO = 'echo';
