/**
 * Sends a packet to one member through the program itself, as if a client had sent it, and waits
 * for what the member answers (native/bpf/probe.h).
 *
 * Invariant: one probe at a time, and whatever happens its entries leave the flow table and
 * settings.probing is cleared; should the daemon die meanwhile, the sweep and its next start see
 * to that.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { L4Member, L4Service } from '../control/tables.js';
import { xdpActions, type BpfMap } from '../../native/ffi/libbpf.js';
import { sendFrame } from '../../native/ffi/packet-socket.js';
import type { Datapath } from './datapath.js';
import {
  ANSWERED,
  FLOW_DIRECTION,
  FLOW_FLAG,
  FORWARDING,
  PROTOCOL,
  flow,
  flowKey,
  type FlowKey,
} from './layouts.js';
import { TCP_FLAG, probeFrame, type ProbeFrame } from './probe-frame.js';
import type { Programmer } from './programmer.js';

export interface ProbeRequest {
  readonly service: L4Service;
  readonly pool: string;
  readonly member: L4Member;
  /** The unit's address that the packet comes from, of the service's family. */
  readonly source: string;
  /** full-nat: the unit's address that the member sees. */
  readonly natAddress: string | null;
  /** Where the packet seems to come in. */
  readonly ingress: { readonly index: number; readonly mac: Uint8Array };
  /** How the program runs where the packet leaves: only native mode sends by itself. */
  readonly mode: 'native' | 'generic';
  /** Of the datagram. */
  readonly payload: Uint8Array;
  readonly timeoutMs: number;
}

export type ProbeOutcome =
  /** The program did not send it on. */
  | { readonly kind: 'refused'; readonly dropped: boolean }
  | { readonly kind: 'silent' }
  | {
      readonly kind: 'answered';
      /** Of the answer's TCP header; 0 for UDP. */
      readonly tcpFlags: number;
      readonly afterMs: number;
      /** Index of the interface that the answer came in by. */
      readonly interfaceIndex: number;
    };

const POLL_MS = 2;
const TRIES = 64;
const NO_MAC = new Uint8Array(6);
const FIRST_NAT_PORT = 1024;
const LAST_PORT = 65_535;

export class Prober {
  readonly #datapath: Datapath;
  readonly #programmer: Programmer;
  #last: Promise<unknown> = Promise.resolve();

  constructor(datapath: Datapath, programmer: Programmer) {
    this.#datapath = datapath;
    this.#programmer = programmer;
  }

  /** Throws when the kernel refuses, or the member has no row in the fast path. */
  probe(request: ProbeRequest): Promise<ProbeOutcome> {
    const turn = this.#last.then(() => this.#probe(request));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #probe(request: ProbeRequest): Promise<ProbeOutcome> {
    const { service, source } = request;
    const port = await reservePort(service.protocol, source);
    const flows = this.#datapath.map('flows');
    const key: FlowKey = {
      ...{ source, destination: service.address },
      ...{ source_port: port.number, destination_port: service.port },
      protocol: PROTOCOL[service.protocol],
    };
    const forward = flowKey.encode(key);
    let answer: Uint8Array | null = null;
    try {
      const taken = this.#expectAnswer(flows, request, key);
      answer = taken.key;
      flows.update(forward, this.#forwardEntry(request, taken.address, taken.port));
      this.#programmer.setProbing(true);
      return await this.#exchange(request, port.number, answer);
    } finally {
      this.#programmer.setProbing(false);
      flows.delete(forward);
      if (answer !== null) flows.delete(answer);
      await port.release();
    }
  }

  async #exchange(
    request: ProbeRequest,
    sourcePort: number,
    answer: Uint8Array,
  ): Promise<ProbeOutcome> {
    const { service, source, ingress, payload } = request;
    const sequence = randomInt(2 ** 32);
    const tcp = service.protocol === 'tcp';
    const common = {
      ...{ toMac: ingress.mac, source, sourcePort },
      ...{ destination: service.address, destinationPort: service.port },
    };
    const opening: ProbeFrame['content'] = tcp
      ? { protocol: 'tcp', flags: TCP_FLAG.syn, sequence }
      : { protocol: 'udp', payload };
    const frame = probeFrame({ ...common, content: opening });
    const sentAt = process.hrtime.bigint();
    const action = this.#send(request, frame);
    if (action !== xdpActions.tx && action !== xdpActions.redirect) {
      return { kind: 'refused', dropped: action !== xdpActions.pass };
    }
    const outcome = await this.#await(answer, sentAt, request.timeoutMs);
    // Whatever the member thinks of the connection by now, it need not keep it.
    if (tcp) {
      const content = { protocol: 'tcp', flags: TCP_FLAG.rst, sequence: sequence + 1 } as const;
      this.#send(request, probeFrame({ ...common, content }));
    }
    return outcome;
  }

  /** Lets the program have the frame, and the network what it makes of it. Returns its verdict. */
  #send({ ingress, member, mode }: ProbeRequest, frame: Uint8Array): number {
    const run = { data: frame, ingressInterface: ingress.index };
    const { program } = this.#datapath;
    const { action, data } = program.testRun(run);
    if (action !== xdpActions.tx && action !== xdpActions.redirect) return action;
    if (mode === 'native') program.runLive(run);
    else if (member.nextHop !== null) sendFrame(member.nextHop.interfaceIndex, data);
    return action;
  }

  async #await(key: Uint8Array, sentAt: bigint, timeoutMs: number): Promise<ProbeOutcome> {
    const flows = this.#datapath.map('flows');
    const until = performance.now() + timeoutMs;
    for (;;) {
      const late = performance.now() > until;
      const bytes = flows.lookup(key);
      const entry = bytes === null ? null : flow.decode(bytes);
      if (entry !== null && (entry.hash & ANSWERED) !== 0) {
        return {
          kind: 'answered',
          tcpFlags: entry.hash & 0xff,
          afterMs: Math.max(0, Number(entry.seen_ns - sentAt) / 1e6),
          interfaceIndex: entry.interface,
        };
      }
      if (late) return { kind: 'silent' };
      await pause(POLL_MS);
    }
  }

  /** Puts the entry of the answer where no other flow has one. */
  #expectAnswer(
    flows: BpfMap,
    request: ProbeRequest,
    key: FlowKey,
  ): { key: Uint8Array; address: string; port: number } {
    const { member, service, natAddress } = request;
    const translated = service.forwarding === 'nat' || service.forwarding === 'full-nat';
    const from = translated
      ? { source: member.address, source_port: member.port || service.port }
      : { source: key.destination, source_port: key.destination_port };
    const value = this.#entry(request, { direction: FLOW_DIRECTION.answer });
    const half = this.#programmer.natHalf;
    for (let turn = 0; turn < TRIES; turn++) {
      const address = natAddress ?? key.source;
      const port =
        natAddress === null
          ? key.source_port
          : FIRST_NAT_PORT + 2 * randomInt((LAST_PORT + 1 - FIRST_NAT_PORT) / 2) + half;
      const bytes = flowKey.encode({
        ...from,
        ...{ destination: address, destination_port: port, protocol: key.protocol },
      });
      if (flows.update(bytes, value, 'insert')) return { key: bytes, address, port };
      if (natAddress === null) break;
    }
    throw new Error('the tuple of the probe is that of another flow: try again');
  }

  #forwardEntry(request: ProbeRequest, address: string, port: number): Uint8Array {
    const fullNat = request.service.forwarding === 'full-nat';
    return this.#entry(request, {
      ...{ direction: FLOW_DIRECTION.forward, flags: FLOW_FLAG.probe },
      forwarding: FORWARDING[request.service.forwarding],
      ...(fullNat ? { address, port } : {}),
    });
  }

  /** Not counted as active: whoever removes it has nothing to put right. */
  #entry(
    { service, pool, member }: ProbeRequest,
    fields: Partial<Parameters<typeof flow.encode>[0]>,
  ): Uint8Array {
    const row = this.#programmer.members.row(pool, member.key);
    const id = this.#programmer.services.row(service);
    if (row === undefined || id === undefined) {
      throw new Error(`the fast path does not know ${member.id} or ${service.name} yet: try again`);
    }
    return flow.encode({
      ...{ member: row, generation: this.#programmer.members.generation(row), service: id },
      ...{ port: 0, direction: 0, closing: 0, address: '::', client: '::', client_port: 0 },
      ...{ client_mac: NO_MAC, unit_mac: NO_MAC, interface: 0, vlan: [], nat: 0, mirror: 0 },
      ...{ seen_ns: process.hrtime.bigint(), flags: 0, forwarding: 0, hash: 0 },
      ...{ window: 0, delta: 0, isn: 0 },
      ...fields,
    });
  }
}

interface ReservedPort {
  readonly number: number;
  release(): Promise<void>;
}

/** A port of the unit's own that no socket has while the probe lasts. Throws what bind(2) says. */
async function reservePort(protocol: 'tcp' | 'udp', address: string): Promise<ReservedPort> {
  if (protocol === 'udp') {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.bind(0, address);
    await once(socket, 'listening');
    return {
      number: socket.address().port,
      release: async () => {
        socket.close();
        await once(socket, 'close');
      },
    };
  }
  const server = createServer();
  server.listen(0, address);
  await once(server, 'listening');
  const bound = server.address();
  return {
    number: bound !== null && typeof bound === 'object' ? bound.port : 0,
    release: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
