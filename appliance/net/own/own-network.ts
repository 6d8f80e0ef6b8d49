/**
 * Keeps the unit's own links, addresses and routes as the document wants them. Source: rtnetlink(7).
 *
 * Invariants:
 * - Only `follow` with a document begins anything: before, not even a socket is open.
 * - What the kernel refuses is told with its own words, stops nothing else, and is tried again when
 *   the network changes and every RETRY_MS.
 * - close() leaves everything in place.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { SystemError } from '../../../native/ffi/libc.js';
import { NetlinkSocket, type NetlinkRequest } from '../../../native/ffi/netlink.js';
import {
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  type NetlinkMessage,
} from '../../../native/ffi/netlink-message.js';
import type { Poller } from '../../../native/ffi/poller.js';
import type { UnitNetworkIntent } from '../../config/network.js';
import * as wire from '../wire.js';
import { planNetwork, type NetworkProblem, type NetworkState, type NetworkStep } from './plan.js';
import * as own from './wire.js';

/** A bond, a VLAN on it, its addresses, its routes, and once more for what others changed meanwhile. */
const ROUNDS = 6;
const PAUSE_MS = 100;
const RETRY_MS = 5000;
const GROUPS = [
  wire.GROUP_LINK,
  wire.GROUP_IPV4_ADDRESS,
  wire.GROUP_IPV6_ADDRESS,
  wire.GROUP_IPV4_ROUTE,
  wire.GROUP_IPV6_ROUTE,
];

export interface OwnNetworkOptions {
  readonly poller: Poller;
  /** Called when what cannot be done has changed. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

export class OwnNetwork {
  readonly #options: OwnNetworkOptions;
  #wanted: UnitNetworkIntent | null = null;
  #requests: NetlinkSocket | null = null;
  #notifications: NetlinkSocket | null = null;
  #problems: readonly NetworkProblem[] = [];
  #work: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: OwnNetworkOptions) {
    this.#options = options;
  }

  get problems(): readonly NetworkProblem[] {
    return this.#problems;
  }

  /** Resolves when the kernel was asked for all of it. Null: what was made here goes. */
  follow(wanted: UnitNetworkIntent | null): Promise<void> {
    this.#wanted = wanted;
    return this.#inTurn(() => this.#settle());
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#notifications?.close();
    this.#requests?.close();
  }

  #socket(): NetlinkSocket {
    this.#requests ??= NetlinkSocket.open({ poller: this.#options.poller });
    return this.#requests;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#work.then(() => (this.#closed ? undefined : work()));
    this.#work = turn.catch(() => undefined);
    return turn;
  }

  #watch(): void {
    this.#notifications ??= NetlinkSocket.open({
      poller: this.#options.poller,
      groups: GROUPS,
      onMessage: (message) => {
        if (concerns(message)) this.#later(PAUSE_MS);
      },
      onOverrun: () => {
        this.#later(PAUSE_MS);
      },
    });
  }

  #later(delay: number): void {
    if (this.#closed || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#inTurn(() => this.#settle()).catch((error: unknown) => {
        if (this.#closed) return;
        this.#options.onError(error);
        this.#later(RETRY_MS);
      });
    }, delay);
    this.#timer.unref();
  }

  async #settle(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted !== null) this.#watch();
    const socket = this.#socket();
    const refused = new Map<string, NetworkProblem>();
    let problems: readonly NetworkProblem[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const plan = planNetwork(wanted, await readNetwork(socket));
      problems = plan.problems;
      const due = plan.steps.filter((step) => !refused.has(nameOf(step)));
      if (due.length === 0) break;
      for (const step of due) {
        if (step.do === 'no-address' && step.address.family === 4) this.#keepOthers(step.name);
        const problem = await carryOut(socket, step);
        if (problem !== null) refused.set(nameOf(step), problem);
      }
    }
    const now = [...problems, ...refused.values()];
    const text = (list: readonly NetworkProblem[]): string =>
      list.map(({ message }) => message).join('\n');
    const changed = text(now) !== text(this.#problems);
    this.#problems = now;
    if (now.length > 0) this.#later(RETRY_MS);
    if (changed) this.#options.onChange();
  }

  /**
   * Without it the kernel takes all IPv4 addresses of a network away with the first one there
   * (promote_secondaries, ip-sysctl.rst), and the routes by them: an address that has just come in
   * place of the one that goes would be lost for a moment.
   */
  #keepOthers(name: string): void {
    const setting = `/proc/sys/net/ipv4/conf/${name}/promote_secondaries`;
    try {
      if (readFileSync(setting, 'utf8').trim() !== '1') writeFileSync(setting, '1');
    } catch (error) {
      // The interface has just gone.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#options.onError(error);
    }
  }
}

/** Changes of links and addresses may make possible what was not; of routes, only those of ours. */
function concerns({ type, payload }: NetlinkMessage): boolean {
  if (type === wire.RTM_DELROUTE) return payload[5] === own.OWN_ROUTE;
  return type !== wire.RTM_NEWROUTE;
}

export async function readNetwork(socket: NetlinkSocket): Promise<NetworkState> {
  const read = async <T>(
    type: number,
    payload: Buffer,
    decode: (payload: Buffer) => T | null,
  ): Promise<T[]> =>
    (await socket.dump(type, payload))
      .map((message) => decode(message.payload))
      .filter((one) => one !== null);
  return {
    links: await read(wire.RTM_GETLINK, wire.encodeDump(wire.RTM_GETLINK), own.decodeOwnLink),
    addresses: await read(wire.RTM_GETADDR, wire.encodeDump(wire.RTM_GETADDR), wire.decodeAddress),
    routes: [
      ...(await read(wire.RTM_GETROUTE, own.encodeRouteDump(4), own.decodeOwnRoute)),
      ...(await read(wire.RTM_GETROUTE, own.encodeRouteDump(6), own.decodeOwnRoute)),
    ],
  };
}

/** One step at a time: each may be what the next one stands on. */
async function carryOut(socket: NetlinkSocket, step: NetworkStep): Promise<NetworkProblem | null> {
  for (const request of requestsOf(step)) {
    const [answer] = await socket.batch([request]);
    if (!(answer instanceof SystemError) || harmless(step, answer)) continue;
    return { subject: subjectOf(step), message: `cannot ${wordsOf(step)}: ${why(step, answer)}` };
  }
  return null;
}

/** Somebody was faster. */
function harmless(step: NetworkStep, { code }: SystemError): boolean {
  switch (step.do) {
    case 'address':
      return code === 'EEXIST';
    case 'no-address':
      return code === 'EADDRNOTAVAIL' || code === 'ENODEV';
    case 'no-route':
      return code === 'ESRCH';
    case 'unmake':
      return code === 'ENODEV';
    default:
      return false;
  }
}

function why(step: NetworkStep, error: SystemError): string {
  const absent = error.code === 'EOPNOTSUPP' || error.code === 'ENOTSUP';
  return step.do === 'make' && absent
    ? `this kernel has no ${step.made.kind} devices (load the module ${step.made.kind === 'vlan' ? '8021q' : 'bonding'})`
    : error.message;
}

function requestsOf(step: NetworkStep): NetlinkRequest[] {
  const link = (change: Parameters<typeof own.encodeLinkChange>[1]): NetlinkRequest => ({
    type: wire.RTM_NEWLINK,
    payload: own.encodeLinkChange('index' in step ? step.index : 0, change),
  });
  const fresh = NLM_F_CREATE | NLM_F_EXCL;
  switch (step.do) {
    case 'make': {
      const payload = own.encodeNewLink(step.name, step.made);
      return [
        { type: wire.RTM_NEWLINK, flags: fresh, payload },
        { type: wire.RTM_NEWLINK, payload: own.encodeMark(step.name) },
      ];
    }
    case 'unmake':
      return [{ type: wire.RTM_DELLINK, payload: own.encodeLinkChange(step.index) }];
    case 'up':
      return [link({ state: 'up' })];
    case 'bond':
      return [{ type: wire.RTM_NEWLINK, payload: own.encodeBondChange(step.index, step.bond) }];
    case 'join':
      // A bond takes a port only while it is down, and sets it up itself.
      return [link({ state: 'down' }), link({ master: step.master })];
    case 'leave':
      return [link({ master: 0 })];
    case 'mtu':
      return [link({ mtu: step.mtu })];
    case 'address':
    case 'no-address': {
      const payload = own.encodeNetworkAddress(step.address, step.prefixLength, step.index);
      return step.do === 'address'
        ? [{ type: wire.RTM_NEWADDR, flags: fresh, payload }]
        : [{ type: wire.RTM_DELADDR, payload }];
    }
    case 'route':
    case 'replace-route':
    case 'no-route': {
      const payload = own.encodeOwnRoute(step.route);
      if (step.do === 'no-route') return [{ type: wire.RTM_DELROUTE, payload }];
      const flags = step.do === 'route' ? fresh : NLM_F_CREATE | NLM_F_REPLACE;
      return [{ type: wire.RTM_NEWROUTE, flags, payload }];
    }
  }
}

function subjectOf(step: NetworkStep): string {
  if ('route' in step) return step.route.to;
  return 'address' in step ? step.address.text : step.name;
}

function nameOf(step: NetworkStep): string {
  return `${step.do} ${wordsOf(step)}`;
}

function wordsOf(step: NetworkStep): string {
  switch (step.do) {
    case 'make':
      return `make ${step.name}`;
    case 'unmake':
      return `remove ${step.name}`;
    case 'up':
      return `set up ${step.name}`;
    case 'bond':
      return `change the bond ${step.name}`;
    case 'join':
      return `make ${step.name} a port of ${step.bond}`;
    case 'leave':
      return `take ${step.name} out of its bond`;
    case 'mtu':
      return `give ${step.name} an MTU of ${step.mtu}`;
    case 'address':
      return `add ${step.address.text}/${step.prefixLength} to ${step.name}`;
    case 'no-address':
      return `remove ${step.address.text}/${step.prefixLength} from ${step.name}`;
    default: {
      const { to, via } = step.route;
      const way = `${via === null ? '' : ` by ${via.text}`}${step.device === '' ? '' : ` on ${step.device}`}`;
      return `${step.do === 'no-route' ? 'remove' : 'add'} the route to ${to}${way}`;
    }
  }
}
