/** From what the fast path reports about a flow to an event for people. Pure. */
import { formatEndpoint } from '../config/addresses.js';
import type { L4Event } from '../l4/tier.js';
import type { NewEvent } from '../telemetry/event-log.js';

/**
 * @param monotonicNs CLOCK_MONOTONIC now, nanoseconds
 * @param epochMs the same moment, milliseconds since 1970
 */
export function flowEvent(event: L4Event, monotonicNs: bigint, epochMs: number): NewEvent {
  const client = formatEndpoint({ address: event.clientAddress, port: event.clientPort });
  const service =
    event.service?.name ?? formatEndpoint({ address: event.address, port: event.port });
  const member = event.member?.member;
  const previous = event.previous?.member;
  const subject = {
    client,
    ...(event.service === undefined ? {} : { service: event.service.name }),
    ...(event.member === undefined ? {} : { pool: event.member.pool, member: event.member.member }),
  };
  const time = epochMs - Number((monotonicNs - event.timeNs) / 1_000_000n);
  const from = `${event.protocol} ${client}`;
  switch (event.kind) {
    case 'flow-new':
      return {
        kind: 'flow-new',
        severity: 'info',
        message: `${from} to ${service} goes to ${member ?? 'a member that is gone'}`,
        subject,
        time,
      };
    case 'flow-moved':
      return {
        kind: 'flow-moved',
        severity: 'info',
        message: `${from} to ${service} moved from ${previous ?? 'a member that is gone'} to ${member ?? 'a member that is gone'}`,
        subject: { ...subject, ...(previous === undefined ? {} : { previousMember: previous }) },
        time,
      };
    case 'drop':
      return {
        kind: 'drop',
        severity: 'warning',
        message: `a packet of ${from} to ${service} was dropped: ${event.reason}`,
        subject: { ...subject, reason: event.reason },
        time,
      };
  }
}
