/**
 * The unit's own network behind the API: how it is, and short tests from where the unit stands.
 *
 * Invariants:
 * - Looking changes nothing, and opens its socket only when somebody looks.
 * - Tests are bounded in number, packets and time, and run no other program.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { Resolver } from 'node:dns/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { KernelClock } from '../../native/ffi/clock.js';
import { NetlinkSocket } from '../../native/ffi/netlink.js';
import type { Poller } from '../../native/ffi/poller.js';
import type {
  EchoRow,
  NetworkView,
  PingResult,
  ResolveResult,
  TraceResult,
} from '../api/contract.js';
import type { NetworkPort } from '../api/network-port.js';
import { PortError } from '../api/port.js';
import { readAddress, type IpAddress } from '../config/address-codec.js';
import type { Unit } from '../config/unit.js';
import { echo } from '../health/echo.js';
import { readNetwork } from '../net/own/own-network.js';
import * as wire from '../net/wire.js';
import type { Host } from './host.js';
import { networkView, readResolvers } from './network-view.js';

const TESTS_AT_ONCE = 8;
const ECHO_MS = 2000;
const BETWEEN_ECHOES_MS = 1000;
/** Hop limits that are tried at a time: silent routers then cost little. */
const HOPS_AT_ONCE = 6;
const HOP_MS = 2000;
const RESOLVE_MS = 3000;
const ZONES = /^.*\/zoneinfo\//;

export interface UnitNetworkOptions {
  readonly poller: Poller;
  readonly host: Pick<Host, 'keys' | 'problems' | 'root'>;
  /** Of the configuration that is executed. */
  readonly unit: () => Unit | null;
  readonly clock: () => KernelClock;
  /** Milliseconds; for tests. */
  readonly betweenEchoes?: number;
}

export class UnitNetwork implements NetworkPort {
  readonly #options: UnitNetworkOptions;
  #socket: NetlinkSocket | null = null;
  #tests = 0;

  constructor(options: UnitNetworkOptions) {
    this.#options = options;
  }

  async view(): Promise<NetworkView> {
    const { poller, host, unit } = this.#options;
    this.#socket ??= NetlinkSocket.open({ poller });
    const neighbours = await this.#socket.dump(
      wire.RTM_GETNEIGH,
      wire.encodeDump(wire.RTM_GETNEIGH),
    );
    return networkView({
      state: await readNetwork(this.#socket),
      neighbours: neighbours
        .map(({ payload }) => wire.decodeNeighbour(payload))
        .filter((one) => one !== null),
      unit: unit(),
      host: host.keys,
      hostName: hostname(),
      resolvers: this.#read(readFileSync, 'etc/resolv.conf'),
      timeZone:
        this.#read(readlinkSync, 'etc/localtime')?.replace(ZONES, '') ??
        Intl.DateTimeFormat().resolvedOptions().timeZone,
      clock: this.#clock(),
      problems: host.problems,
    });
  }

  ping({ address, count }: Parameters<NetworkPort['ping']>[0]): Promise<PingResult> {
    const to = addressOf(address);
    const { poller, betweenEchoes = BETWEEN_ECHOES_MS } = this.#options;
    return this.#test(async () => {
      const answers: EchoRow[] = [];
      for (let index = 0; index < count; index += 1) {
        const begun = performance.now();
        answers.push(await echo(poller, to, { timeoutMs: ECHO_MS, hops: null }));
        const left = betweenEchoes - (performance.now() - begun);
        if (index + 1 < count && left > 0) await pause(left);
      }
      const received = answers.filter(({ result }) => result === 'reply').length;
      return { address: to.text, sent: count, received, answers };
    });
  }

  trace({ address, hops: most }: Parameters<NetworkPort['trace']>[0]): Promise<TraceResult> {
    const to = addressOf(address);
    const { poller } = this.#options;
    return this.#test(async () => {
      const hops: EchoRow[] = [];
      while (hops.length < most) {
        const next = Array.from(
          { length: Math.min(HOPS_AT_ONCE, most - hops.length) },
          (_, index) => hops.length + index + 1,
        );
        const rows = await Promise.all(
          next.map((limit) => echo(poller, to, { timeoutMs: HOP_MS, hops: limit })),
        );
        const end = rows.findIndex(({ result }) => result !== 'expired' && result !== 'silent');
        hops.push(...(end < 0 ? rows : rows.slice(0, end + 1)));
        if (end >= 0) break;
      }
      return { address: to.text, reached: hops.at(-1)?.result === 'reply', hops };
    });
  }

  resolve({ name, server }: Parameters<NetworkPort['resolve']>[0]): Promise<ResolveResult> {
    const address = readAddress(name);
    const servers =
      server === undefined
        ? readResolvers(this.#read(readFileSync, 'etc/resolv.conf') ?? '').servers
        : [addressOf(server).text];
    if (servers.length === 0)
      throw new PortError(
        'conflict',
        'This host has no resolver: name one with --server, or set unit.network.dns.',
      );
    return this.#test(async () => {
      const resolver = new Resolver({ timeout: RESOLVE_MS, tries: 1 });
      resolver.setServers(servers);
      const begun = performance.now();
      const problems = new Set<string>();
      const ask = async (
        type: 'A' | 'AAAA' | 'PTR',
        answer: Promise<string[]>,
      ): Promise<ResolveResult['answers']> => {
        try {
          return (await answer).map((value) => ({ type, value }));
        } catch (error) {
          const { code = '' } = error as NodeJS.ErrnoException;
          if (code !== 'ENODATA') problems.add(trouble(code, name));
          return [];
        }
      };
      const answers = await Promise.all(
        address === null
          ? [ask('A', resolver.resolve4(name)), ask('AAAA', resolver.resolve6(name))]
          : [ask('PTR', resolver.reverse(address.text))],
      );
      const ms = performance.now() - begun;
      return { name, servers, answers: answers.flat(), problems: [...problems], ms };
    });
  }

  close(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  async #test<T>(work: () => Promise<T>): Promise<T> {
    if (this.#tests >= TESTS_AT_ONCE) {
      throw new PortError(
        'conflict',
        `${this.#tests} such tests are under way already: wait until one has ended.`,
      );
    }
    this.#tests += 1;
    try {
      return await work();
    } finally {
      this.#tests -= 1;
    }
  }

  #clock(): KernelClock | null {
    try {
      return this.#options.clock();
    } catch {
      return null; // The watch of the clock tells of it; here it is only not known.
    }
  }

  /** Null: there is none. */
  #read(read: (path: string, encoding: 'utf8') => string, path: string): string | null {
    try {
      return read(join(this.#options.host.root, path), 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A copy instead of a link says no name.
      if (code === 'ENOENT' || code === 'EINVAL') return null;
      throw error;
    }
  }
}

function addressOf(text: string): IpAddress {
  const address = readAddress(text);
  if (address !== null) return address;
  throw new PortError(
    'invalid',
    `${text} is no address: write one such as 10.0.0.1 or 2001:db8::1.`,
  );
}

/** Words for what c-ares says. */
function trouble(code: string, name: string): string {
  switch (code) {
    case 'ENOTFOUND':
      return `${name} does not exist`;
    case 'ETIMEOUT':
      return 'no resolver answered in time';
    case 'ECONNREFUSED':
      return 'the resolvers refuse to be asked';
    case 'ESERVFAIL':
      return 'the resolver failed';
    case 'EREFUSED':
      return 'the resolver refuses to answer';
    case 'EBADNAME':
      return `${name} is no name`;
    default:
      return `the question failed: ${code}`;
  }
}
