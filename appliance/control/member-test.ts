/**
 * `weir test member`: a packet through the fast path to one member, for each service, and what
 * came of it in a sentence. Here is what to send and what an outcome means; l4/prober.ts sends.
 *
 * Invariant: what the sentences say was seen, or is marked as a guess by a question.
 */
import type { MemberTestRow } from '../api/contract.js';
import { familyOf } from '../config/addresses.js';
import { readAddress } from '../config/address-codec.js';
import type { Intent } from '../config/schema.js';
import type { AttachOutcome } from '../l4/attach.js';
import type { ProbeOutcome, ProbeRequest } from '../l4/prober.js';
import { TCP_FLAG } from '../l4/probe-frame.js';
import { inPrefix, isLinkLocal } from '../net/prefix.js';
import type { InterfaceAddress, Link } from '../net/wire.js';
import type { L4Member, L4Service, L4Unit } from './tables.js';
import { macText } from './views.js';

export const TEST_TIMEOUT_MS = 1000;

export interface TestSurroundings {
  readonly unit: L4Unit;
  readonly intent: Intent;
  readonly links: readonly Pick<Link, 'index' | 'name' | 'mac' | 'loopback'>[];
  readonly addresses: readonly InterfaceAddress[];
  readonly outcomes: readonly Pick<AttachOutcome, 'interface' | 'attachment'>[];
}

export interface TestSubject {
  readonly service: L4Service;
  readonly pool: string;
  readonly member: L4Member;
}

/** What to send, or why it cannot be sent. */
export function planTest(
  { service, pool, member }: TestSubject,
  around: TestSurroundings,
): ProbeRequest | { readonly impossible: string } {
  const hop = member.nextHop;
  if (hop === null) return { impossible: `no frame can reach the member: ${member.reason}` };
  const attached = around.outcomes.filter(({ attachment }) => attachment !== null);
  const out = attached.find((one) => one.interface.index === hop.interfaceIndex);
  if (out === undefined || out.attachment === null) {
    return {
      impossible: `the fast path is not on ${hop.interfaceName}, by which the member is reached`,
    };
  }
  const source = testSource(service, member, around);
  if (source === null) {
    return {
      impossible: `this unit has no IPv${familyOf(service.address)} address that the member could answer to`,
    };
  }
  const natAddress =
    service.forwarding === 'full-nat'
      ? around.unit.natAddresses.find((one) => familyOf(one) === familyOf(member.address))
      : null;
  if (natAddress === undefined) {
    return { impossible: 'there is no address in unit.nat-addresses of the family of the member' };
  }
  // By another interface than it leaves by where there is one, as where clients are elsewhere.
  const entry = attached.find((one) => one.interface.index !== hop.interfaceIndex) ?? out;
  const link = around.links.find(({ index }) => index === entry.interface.index);
  if (link === undefined || link.mac.length !== 6) {
    return { impossible: `${entry.interface.name} has no MAC address` };
  }
  const monitor = around.intent.pools[pool]?.monitor;
  return {
    ...{ service, pool, member, source, natAddress },
    ingress: { index: link.index, mac: link.mac },
    mode: out.attachment.mode,
    payload: Buffer.from(monitor?.type === 'udp' ? (monitor.send ?? '') : ''),
    timeoutMs: TEST_TIMEOUT_MS,
  };
}

/**
 * The unit's address that plays the client. One on another network than the member's is the
 * better client: only then does an answer need the same route as those to clients do.
 */
function testSource(service: L4Service, member: L4Member, around: TestSurroundings): string | null {
  const at = readAddress(member.address);
  const attached = new Set(around.outcomes.map((one) => one.interface.index));
  const loopback = new Set(around.links.filter((one) => one.loopback).map(({ index }) => index));
  const own = around.addresses.filter(
    (one) =>
      one.family === familyOf(service.address) &&
      one.prefixLength < one.bytes.length * 8 &&
      !loopback.has(one.interfaceIndex) &&
      !isLinkLocal(one),
  );
  const near = (one: InterfaceAddress): boolean =>
    at !== null && at.family === one.family && inPrefix(at.bytes, one.bytes, one.prefixLength);
  const best =
    own.find((one) => attached.has(one.interfaceIndex) && !near(one)) ?? own.find(near) ?? own[0];
  return best?.address ?? null;
}

/** What came of it, for people and programs. */
export function testRow(
  { service, member }: TestSubject,
  request: ProbeRequest | { readonly impossible: string },
  outcome: ProbeOutcome | null,
  interfaceName: (index: number) => string,
): MemberTestRow {
  const { nextHop: hop } = member;
  const common = {
    ...{ service: service.name, forwarding: service.forwarding, protocol: service.protocol },
    from: 'impossible' in request ? null : request.source,
    left:
      hop === null || outcome === null || outcome.kind === 'refused'
        ? null
        : { interface: hop.interfaceName, mac: macText(hop.mac) },
    afterMs: null,
    answeredBy: null,
  };
  if ('impossible' in request) {
    return { ...common, result: 'not-sent', text: request.impossible };
  }
  const state =
    member.state === 'serving' ? '' : ` The member is ${member.state}: ${member.reason}.`;
  if (outcome === null || outcome.kind === 'refused') {
    const text =
      outcome?.dropped === false
        ? `the fast path gave it to the kernel.${state}`
        : `the fast path dropped it: "weir show drops" says why; whether an access list holds ${request.source} back, "weir access test ${request.source} --service ${service.name}".${state}`;
    return { ...common, result: 'not-sent', text };
  }
  if (outcome.kind === 'silent') {
    return { ...common, result: 'silent', text: silence(service, member, request) + state };
  }
  const afterMs = Math.round(outcome.afterMs * 1000) / 1000;
  const answeredBy = interfaceName(outcome.interfaceIndex);
  const answered = { ...common, afterMs, answeredBy };
  const when = `after ${afterMs.toFixed(1)} ms through ${service.forwarding}`;
  if ((outcome.tcpFlags & TCP_FLAG.rst) !== 0) {
    const where = listens(service, member);
    const text = `reset ${when}: the member takes the packets, and nothing listens on ${where}.${state}`;
    return { ...answered, result: 'reset', text };
  }
  const strange = astray(service, member, outcome.interfaceIndex, answeredBy);
  const how = service.protocol === 'tcp' ? 'SYN-ACK' : 'datagram';
  const text = `answered by ${how} ${when}.${strange}${state}`;
  return { ...answered, result: strange === '' ? 'answered' : 'astray', text };
}

/** nat translates only what comes back through the unit, which must stand between. */
function astray(service: L4Service, member: L4Member, index: number, name: string): string {
  if (service.forwarding !== 'nat' || member.nextHop === null) return '';
  if (index === member.nextHop.interfaceIndex) return '';
  return ` But the answer came by ${name} and not by ${member.nextHop.interfaceName}: is this unit the way from the member to the clients?`;
}

function listens({ address, port, protocol, forwarding }: L4Service, member: L4Member): string {
  const translated = forwarding === 'nat' || forwarding === 'full-nat';
  const [host, number] = translated ? [member.address, member.port || port] : [address, port];
  return `${host.includes(':') ? `[${host}]` : host}:${number}/${protocol}`;
}

function silence(
  service: L4Service,
  member: L4Member,
  { source, timeoutMs }: ProbeRequest,
): string {
  const within = `no answer within ${timeoutMs / 1000} s`;
  if (service.protocol === 'udp') {
    return `${within}: nobody listens on ${listens(service, member)}, or the server does not answer to this datagram (a pool's udp monitor says what to send).`;
  }
  const setup = 'see "weir show member POOL MEMBER --setup".';
  switch (service.forwarding) {
    case 'dsr':
      return `${within}: does the member accept packets for ${service.address} (is the address on its lo?), and has it a way to ${source} that is not filtered? ${setup}`;
    case 'tunnel':
      return `${within}: does the member take packets out of the tunnel (device, rp_filter), accept those for ${service.address}, and has it a way to ${source}? ${setup}`;
    case 'nat':
      return `${within}: does a firewall keep packets from ${listens(service, member)}, or does the member answer to ${source} by another way than this unit? ${setup}`;
    case 'full-nat':
      return `${within}: does a firewall keep packets from ${listens(service, member)}, or has the member no way to this unit's addresses? ${setup}`;
  }
}
