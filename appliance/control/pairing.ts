/**
 * What the daemon has to do with its pair: what administrators ask and order, the unit's name as the
 * other one hears it, and what happens to the pair as events and alarms.
 *
 * Invariant: nothing of the code of an invitation is in an event or an error.
 */
import { hostname } from 'node:os';
import type { Alarm, PairInvited, PairPath, PairStanding, PairView } from '../api/contract.js';
import type { SeverityOf } from '../api/event-severities.js';
import type { PairPort } from '../api/pair-port.js';
import { PortError } from '../api/port.js';
import { checkUnicast, parseAddress } from '../config/addresses.js';
import { PairError } from '../ha/pair/errors.js';
import { MAX_LINKS } from '../ha/pair/messages.js';
import type { Pair } from '../ha/pair/pair.js';
import type { PairNews, PairState } from '../ha/pair/state.js';
import type { EventLog, NewEvent } from '../telemetry/event-log.js';
import { HEARTBEAT_PORT } from '../ha/ports.js';

/** That of the document, or the host's while there is none. */
export function unitName(
  head: { readonly document: { readonly unit?: { readonly name?: string } } } | null,
): string {
  return head?.document.unit?.name ?? hostname().split('.')[0] ?? 'weir';
}

export function pairEvent(news: PairNews): NewEvent {
  const subject = 'peer' in news ? { subject: { peer: news.peer } } : {};
  const event = (
    severity: SeverityOf<'pair'>,
    message: string,
    after?: 'up' | 'down',
  ): NewEvent => ({
    ...{ kind: 'pair', severity, message },
    ...('peer' in news
      ? { subject: { peer: news.peer, ...(after === undefined ? {} : { after }) } }
      : {}),
  });
  switch (news.what) {
    case 'paired':
      return event('info', `paired with ${news.peer}`);
    case 'left':
      return event('warning', `${news.peer} has left the pair: this unit is alone now`);
    case 'up':
      return event('info', `the link ${news.address} to ${news.peer} is up`, 'up');
    case 'down':
      return event(
        'warning',
        `the link ${news.address} to ${news.peer} is down: ${news.reason}`,
        'down',
      );
    case 'together':
      return { kind: 'peer-back', severity: 'info', message: `${news.peer} is heard`, ...subject };
    case 'alone':
      return {
        ...{ kind: 'peer-lost', severity: 'error', ...subject },
        message: `${news.peer} is not heard by any link`,
      };
    case 'wrong-code':
      return event(
        'warning',
        `${news.address} tried to pair with a wrong code: ` +
          (news.left === 0 ? 'the invitation is void' : `${news.left} more make it void`),
      );
    case 'invitation-over':
      return event('info', invitationOver[news.why]);
  }
}

const invitationOver: Readonly<
  Record<Extract<PairNews, { what: 'invitation-over' }>['why'], string>
> = {
  used: 'the invitation was used',
  expired: 'the invitation expired unused',
  'wrong codes': 'the invitation is void: too many wrong codes',
  withdrawn: 'the invitation was withdrawn',
};

export interface PairingParts {
  readonly pair: Pair;
  /** This unit's name. */
  readonly unit: () => string;
  /** Where an invitation listens unless it is told: an address of each interface. */
  readonly addresses: () => readonly string[];
  /** Of heartbeats. */
  readonly paths: () => readonly PairPath[];
  /** This unit has left the other one, of which `Pair` tells nobody here. */
  readonly onLeave: () => void;
  readonly events: Pick<EventLog, 'append'>;
  /** What the units have in common; null without a pair. */
  readonly standing: () => PairStanding | null;
}

export class Pairing implements PairPort {
  readonly #parts: PairingParts;

  constructor(parts: PairingParts) {
    this.#parts = parts;
  }

  async view(): Promise<PairView> {
    const { pair, unit, paths, standing } = this.#parts;
    return { ...viewOf(unit(), pair.state(), paths()), standing: standing() };
  }

  invite({ addresses, author }: Parameters<PairPort['invite']>[0]): Promise<PairInvited> {
    return asPort(async () => {
      const { pair, unit } = this.#parts;
      const own = addresses.length > 0 ? addresses : this.#parts.addresses().slice(0, MAX_LINKS);
      const wanted = own.map(unicast);
      if (wanted.length === 0) {
        throw new PairError(
          'unavailable',
          'No interface of this unit has an address: name those to listen at.',
        );
      }
      const { code, expires, fingerprint } = await pair.invite(wanted);
      this.#tell(author, `invites another unit at ${wanted.join(', ')}`);
      const { port, invitation } = pair.state();
      const listening = invitation?.addresses ?? wanted;
      return { unit: unit(), code, expires, fingerprint, addresses: listening, port };
    });
  }

  join({ code, address, author }: Parameters<PairPort['join']>[0]): Promise<PairView> {
    return asPort(async () => {
      const { name } = await this.#parts.pair.join(code, unicast(address));
      this.#tell(author, `joined this unit to ${name}`);
      return this.view();
    });
  }

  leave({ author }: Parameters<PairPort['leave']>[0]): Promise<PairView> {
    return asPort(async () => {
      const name = this.#parts.pair.leave();
      this.#parts.onLeave();
      this.#tell(author, name === '' ? 'withdrew the invitation' : `parted this unit from ${name}`);
      return this.view();
    });
  }

  alarms(): Alarm[] {
    const { peer, links, problem } = this.#parts.pair.state();
    if (problem !== null) {
      return [{ code: 'peer-lost', severity: 'error', message: problem, since: null }];
    }
    if (peer === null) return [];
    const down = links.filter(({ up }) => !up);
    const silent = this.#silentPaths(peer.name);
    if (down.length === 0) return silent;
    if (down.length === links.length) {
      const times = down.map(({ since }) => since);
      const since = times.includes(null) ? null : Math.max(...times.map(Number));
      const message = `The other unit, ${peer.name}, is heard by no link: ${down[0]?.reason ?? 'no answer yet'}.`;
      return [{ code: 'peer-lost', severity: 'error', message, since }];
    }
    const told = down.map(({ address, reason, since }): Alarm => {
      const message = `The link ${address} to ${peer.name} is down: ${reason ?? 'no answer yet'}.`;
      return { code: 'pair-link-down', severity: 'warning', message, since, object: address };
    });
    return [...told, ...silent];
  }

  /** While a link is up: the other daemon is heard, so its speaker should be. */
  #silentPaths(peer: string): Alarm[] {
    const paths = this.#parts.paths();
    const silent = paths.filter(({ heard }) => heard === false);
    if (silent.length > 0 && silent.length === paths.length) {
      const where = silent.map((one) => `${one.remote} to ${one.local}`).join(', ');
      const message = `No heartbeat of ${peer} comes (${where}), so a unit that dies is noticed later, and by its advertisements alone: let UDP port ${HEARTBEAT_PORT} pass between the units.`;
      return [{ code: 'pair-link-down', severity: 'error', message, since: null }];
    }
    return silent.map(({ path, interface: on, since }) => ({
      ...{ code: 'pair-link-down', severity: 'warning', since },
      message: `Heartbeats of ${peer} do not come by ${on} (${path}).`,
      object: path,
    }));
  }

  #tell(author: string, what: string): void {
    this.#parts.events.append({
      ...{ kind: 'pair', severity: 'info', message: `${author} ${what}` },
      subject: { author },
    });
  }
}

function viewOf(
  unit: string,
  state: PairState,
  paths: readonly PairPath[],
): Omit<PairView, 'standing'> {
  const { fingerprint, port, invitation, peer, links, unacknowledged, refused, problem } = state;
  const together = links.some(({ up }) => up);
  return {
    ...{ unit, fingerprint, port, invitation, peer, together },
    ...{ links, paths, unacknowledged, refused, problem },
  };
}

/** Its canonical text. What is none is not repeated: it may be a code in the wrong place. */
function unicast(text: string): string {
  const address = parseAddress(text);
  if (address.ok && checkUnicast(address.value) === null) return address.value.text;
  throw new PairError('invalid', 'Give a unicast IP address of a unit, such as 192.0.2.1.');
}

async function asPort<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PairError)) throw error;
    throw new PortError(error.code, error.message, { cause: error });
  }
}
