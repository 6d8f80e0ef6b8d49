/**
 * What is seen on the wire, by tcpdump: at a member, what clients send there; at the client,
 * how its connections begin.
 *
 * Invariant: a capture says how many packets it missed, so nothing is concluded from a gap.
 */
import type { ChildProcess } from 'node:child_process';
import { ended, start } from './commands.js';
import type { Lab } from './lab.js';
import { PcapReader, type SeenPacket } from './pcap.js';
import { said } from './servers.js';
import { addressOf, type HostName, type MemberName } from './topology.js';

export class Capture {
  /** Every flow that a packet came of, as `ADDRESS.PORT > ADDRESS.PORT`. */
  readonly flows = new Set<string>();
  /** Where a flow's packets bear marks (SeenPacket), the flows by mark. */
  readonly marks = new Map<string, string>();
  private readonly times: number[] = [];
  private errors = '';

  private constructor(private readonly child: ChildProcess) {
    child.stderr?.on('data', (text: Buffer) => (this.errors += text.toString('utf8')));
    const reader = new PcapReader((packet) => {
      this.keep(packet);
    });
    child.stdout?.on('data', (bytes: Buffer) => {
      reader.push(bytes);
    });
  }

  private keep({ time, flow, mark }: SeenPacket): void {
    this.times.push(time);
    this.flows.add(flow);
    if (mark !== null) this.marks.set(mark, flow);
  }

  private static async start(lab: Lab, host: HostName, filter: string): Promise<Capture> {
    const child = start(lab.topology.namespace(host), [
      ...['tcpdump', '--immediate-mode', '-U', '-n', '-i', 'eth0', '-s', '128'],
      ...['-B', '16384', '-Z', 'root', '-w', '-', filter],
    ]);
    const capture = new Capture(child);
    await said(child, 'listening on');
    return capture;
  }

  /**
   * What clients send to a member: from their own addresses, or those of full-nat. Monitors
   * probe from the unit's own address and are not seen.
   */
  static atMember(lab: Lab, member: MemberName): Promise<Capture> {
    const sources = [
      addressOf('client', 4, 'outside'),
      addressOf('client', 6, 'outside'),
      ...lab.natAddresses,
    ];
    const any = sources.map((address) => `src host ${address}`).join(' or ');
    return Capture.start(lab, member, `inbound and (${any})`);
  }

  /** How the client's connections through full-nat begin; null when there is no such service. */
  static async ofOpenings(lab: Lab): Promise<Capture | null> {
    const hosts = lab.targets
      .filter(({ forwarding }) => forwarding === 'full-nat')
      .map(({ address }) => `dst host ${address}`);
    if (hosts.length === 0) return null;
    // The flags of an IPv6 segment have no name in this language: byte 13 behind the header.
    const opening = 'udp or tcp[tcpflags] & tcp-syn != 0 or (ip6[6] == 6 and ip6[53] & 2 != 0)';
    return Capture.start(lab, 'client', `outbound and (${hosts.join(' or ')}) and (${opening})`);
  }

  /** When the last packet from a client came, in epoch milliseconds, and how many came since. */
  lastPacket(since: number): { time: number | null; packets: number } {
    const after = this.times.filter((time) => time >= since);
    return { time: after.at(-1) ?? null, packets: after.length };
  }

  /** Ends the capture. Returns how many packets it missed. */
  async stop(): Promise<number> {
    this.child.kill('SIGINT');
    await ended(this.child);
    return Number(/(\d+) packets? dropped by kernel/.exec(this.errors)?.[1] ?? 0);
  }
}

/**
 * The flows that arrived at a member, as flowAt (clients.ts) names them. Full-nat leaves
 * nothing of the client in a packet's addresses and ports; its marks tell whose it is.
 */
export function arrivedFlows(member: Capture, openings: Capture | null): Set<string> {
  const flows = new Set(member.flows);
  for (const [mark, flow] of openings?.marks ?? []) if (member.marks.has(mark)) flows.add(flow);
  return flows;
}
