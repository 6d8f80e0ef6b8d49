/**
 * Which probe a monitor's settings ask for.
 */
import type { Poller } from '../../native/ffi/poller.js';
import type { MonitorTarget } from '../control/tables.js';
import { probeAgent } from './agent.js';
import type { Cancellation } from './cancellation.js';
import { probeDns } from './dns.js';
import { probeExternal } from './external.js';
import { probeHttp } from './http.js';
import { IcmpProber } from './icmp.js';
import type { ProbeResult } from './state-machine.js';
import { probeTcp } from './tcp.js';
import { probeConnect } from './tcp-connect.js';
import { probeTls } from './tls.js';
import { probeUdp } from './udp.js';

/** Runs one probe. Never rejects; `cancelled` makes it end early. */
export type Probe = (target: MonitorTarget, cancelled: Cancellation) => Promise<ProbeResult>;

/** Every probe of this build, with what they share. */
export class Prober {
  readonly #poller: Poller;
  readonly #icmp: IcmpProber;

  /** `poller` stays the caller's, and outlives this. */
  constructor(poller: Poller) {
    this.#poller = poller;
    this.#icmp = new IcmpProber(poller);
  }

  readonly probe: Probe = (target, cancelled) => {
    const { settings } = target;
    switch (settings.type) {
      case 'tcp':
        return settings.send === undefined && settings.receive === undefined
          ? probeConnect(this.#poller, target, settings, cancelled)
          : probeTcp(target, settings, cancelled);
      case 'http':
        return probeHttp(target, settings, cancelled);
      case 'https':
        return probeHttp(target, settings, cancelled, settings);
      case 'tls':
        return probeTls(target, settings, cancelled);
      case 'icmp':
        return this.#icmp.probe(target, settings, cancelled);
      case 'udp':
        return probeUdp(target, settings, cancelled);
      case 'dns':
        return probeDns(target, settings, cancelled);
      case 'agent':
        return probeAgent(target, settings, cancelled);
      case 'external':
        return probeExternal(target, settings, cancelled);
    }
  };

  close(): void {
    this.#icmp.close();
  }
}
