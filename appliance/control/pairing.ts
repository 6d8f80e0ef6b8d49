/**
 * What the daemon has to do with its pair: the unit's name as the other one hears it, and what
 * happens to the pair as events.
 *
 * Invariant: nothing of the code of an invitation is in an event.
 */
import { hostname } from 'node:os';
import type { PairNews } from '../ha/pair/state.js';
import type { NewEvent } from '../telemetry/event-log.js';

/** That of the document, or the host's while there is none. */
export function unitName(
  head: { readonly document: { readonly unit?: { readonly name?: string } } } | null,
): string {
  return head?.document.unit?.name ?? hostname().split('.')[0] ?? 'weir';
}

export function pairEvent(news: PairNews): NewEvent {
  const event = (severity: NewEvent['severity'], message: string): NewEvent => ({
    ...{ kind: 'pair', severity, message },
    ...('peer' in news ? { subject: { peer: news.peer } } : {}),
  });
  switch (news.what) {
    case 'paired':
      return event('info', `paired with ${news.peer}`);
    case 'left':
      return event('warning', `${news.peer} has left the pair: this unit is alone now`);
    case 'up':
      return event('info', `the link ${news.address} to ${news.peer} is up`);
    case 'down':
      return event('warning', `the link ${news.address} to ${news.peer} is down: ${news.reason}`);
    case 'together':
      return event('info', `${news.peer} is heard`);
    case 'alone':
      return event('error', `${news.peer} is not heard by any link`);
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
