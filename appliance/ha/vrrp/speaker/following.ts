/** Sockets, and what the engine knows of interfaces, follow the kernel. */
import { formatAddress } from '../../../config/address-codec.js';
import { movesByItself } from '../../../net/service-addresses.js';
import type { InterfaceAddress } from '../../../net/wire.js';
import type { LinkState, VrrpEngine } from '../engine.js';
import type { GroupSettings } from '../settings.js';
import type { Interfaces } from './interfaces.js';
import type { Sockets } from './sockets.js';
import type { VirtualMacs } from './virtual-macs.js';

const NO_INTERFACE: LinkState = { running: false, sources: { 4: null, 6: null } };

export class Following {
  readonly #interfaces: Interfaces;
  readonly #sockets: Sockets;
  readonly #engine: VrrpEngine;
  readonly #macs: VirtualMacs;
  /** What the engine was told. */
  readonly #told = new Map<string, string>();

  constructor(interfaces: Interfaces, sockets: Sockets, engine: VrrpEngine, macs: VirtualMacs) {
    this.#macs = macs;
    this.#interfaces = interfaces;
    this.#sockets = sockets;
    this.#engine = engine;
  }

  follow(groups: readonly GroupSettings[], now: number): void {
    const routers = groups.flatMap((group) => group.routers);
    this.#sockets.want(
      routers.map(({ interface: name, family }) => ({
        name,
        family,
        link: this.#interfaces.named(name),
      })),
    );
    const moving = new Set(routers.flatMap(({ addresses }) => addresses.map(formatAddress)));
    const movable = (address: InterfaceAddress): boolean =>
      movesByItself(address) || moving.has(address.address);
    for (const name of new Set(routers.map((router) => router.interface))) {
      const withoutMac = routers.filter((one) => one.interface === name && !this.#macs.has(one));
      const state = {
        ...(this.#interfaces.stateOf(name, movable) ?? NO_INTERFACE),
        withoutMac: new Set(withoutMac.map((router) => router.name)),
      };
      const sources = Object.values(state.sources).map(String);
      const globals = (state.globals ?? []).map(({ bytes }) => formatAddress(bytes));
      const text = JSON.stringify([state.running, ...sources, globals, ...state.withoutMac]);
      if (this.#told.get(name) === text) continue;
      this.#told.set(name, text);
      this.#engine.link(name, state, now);
    }
  }
}
