/** The keys that try the way to somebody, from where the unit stands, and what answers come to. */
import type {
  PingResult,
  ResolveResult,
  TraceResult,
  TrialRow,
} from '../appliance/api/contract.js';
import type { Call } from '../appliance/cli/client.js';
import { pingText, resolveText, traceText, tryText } from '../appliance/cli/reach-text.js';
import { asking } from './acted.js';
import { answersOf, ask, askField, type Ask } from './ask.js';
import type { Key } from './keys.js';
import { type About, type Model, type Overlay } from './model.js';
import { memberPath } from './topics.js';
import { memberAt } from './screens/tables.js';
import { toldTo } from './screens/told.js';
import type { Step } from './step.js';

export type ReachAbout = Extract<About, 'ping' | 'traceroute' | 'resolve' | 'try'>;

export function networkKey(model: Model, key: Key): Step | null {
  if (key.ctrl) return null;
  const open = (overlay: Overlay): Step => ({ model: { ...model, overlay }, effects: [] });
  if (model.place.screen !== 'network') return key.character === 't' ? tryMember(model) : null;
  switch (key.character) {
    case 'p':
      return open(
        ask('Ping', 'Four echo requests from this unit.', { type: 'ping' }, [
          askField('address', 'Address'),
        ]),
      );
    case 't':
      return open(
        ask('Traceroute', 'The routers on the way to an address.', { type: 'traceroute' }, [
          askField('address', 'Address'),
        ]),
      );
    case 'n':
      return open(
        ask(
          'Look up',
          'A name, or an address. Without a server those of this unit are asked.',
          { type: 'resolve' },
          [askField('name', 'Name'), askField('server', 'Server')],
        ),
      );
    default:
      return null;
  }
}

/** Null: no member is selected here. */
function tryMember(model: Model): Step | null {
  const named = memberAt(model);
  if (named === null) return null;
  const path = `${memberPath(named.pool, named.member)}/try`;
  return reach(model, 'try', `Asked ${named.member} of ${named.pool}`, path, {});
}

function reach(model: Model, about: ReachAbout, done: string, path: string, json: object): Step {
  const call: Call = { method: 'POST', path, json };
  return asking(model, { type: 'act', call, done, about });
}

/** Null: the answer is for something else. A sentence: what is wrong with it. */
export function answerNetwork(model: Model, now: Ask): Step | string | null {
  const { address = '', name = '', server = '' } = answersOf(now);
  const { type } = now.purpose;
  if (type === 'ping' || type === 'traceroute') {
    if (address === '') return 'Give an address, such as 10.0.0.1 or 2001:db8::1.';
    const done = type === 'ping' ? `Ping ${address}` : `The way to ${address}`;
    return reach(model, type, done, `/v1/network/${type}`, { address });
  }
  if (type !== 'resolve') return null;
  if (name === '') return 'Give a name, such as www.example.org.';
  const json = { name, ...(server === '' ? {} : { server }) };
  return reach(model, type, `Looked up ${name}`, '/v1/network/resolve', json);
}

/** What came of it; `value` is what contract.ts promises for what was asked. */
export function reached(model: Model, title: string, about: ReachAbout, value: unknown): Overlay {
  const context = toldTo(model);
  const texts: Readonly<Record<ReachAbout, () => string>> = {
    ping: () => pingText(context, value as PingResult),
    traceroute: () => traceText(context, value as TraceResult),
    resolve: () => resolveText(context, value as ResolveResult),
    try: () => tryText(context, value as TrialRow),
  };
  return { kind: 'message', title, text: texts[about]().trimEnd() };
}
