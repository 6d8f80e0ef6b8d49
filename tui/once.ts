/**
 * The overview as plain text, for scripts, logs and screen readers: no charts, nothing side by side,
 * nothing left out.
 */
import { Client } from '../appliance/cli/client.js';
import { USUAL_EVENT_KINDS, type EventRow } from '../appliance/api/contract.js';
import { duration } from '../appliance/cli/format.js';
import { serviceColumns } from './columns.js';
import { heading, span, textOf, type Line, type Look } from './frame.js';
import { firstModel, OVERVIEW, type Model } from './model.js';
import { isPaired, pathOf, type Answers } from './topics.js';
import { byHealth, eventLine, problemLines } from './screens/overview.js';
import { pairBlock } from './screens/roles.js';
import { carried, whole } from './screens/tiers.js';

const EVENTS_SHOWN = 10;

export interface OnceOptions {
  readonly socket: string;
  readonly secret: string | null;
  readonly look: Look;
  readonly columns: number;
  readonly now: number;
}

export type PrintOverview = (options: OnceOptions) => Promise<string>;

/** Errors: `CliError`, when the daemon is not there. */
export const overviewText: PrintOverview = async ({ socket, secret, look, columns, now }) => {
  const client = new Client(socket);
  client.secret = secret;
  const ask = <T extends 'status' | 'services' | 'tiers' | 'routers'>(
    topic: T,
  ): Promise<Answers[T]> => client.json<Answers[T]>({ path: pathOf(topic, OVERVIEW) });
  const [status, services, tiers, routers, events] = await Promise.all([
    ask('status'),
    ask('services'),
    ask('tiers'),
    ask('routers'),
    client.json<EventRow[]>({
      path: '/v1/events',
      query: { limit: EVENTS_SHOWN, kind: USUAL_EVENT_KINDS.join() },
    }),
  ]);
  const first = firstModel({ now, size: { columns, rows: 0 }, look, socket });
  const answer = <T>(path: string, value: T) => ({ path, value, problem: null, at: now });
  const model: Model = {
    ...first,
    data: {
      status: answer('/v1/status', status),
      services: answer('/v1/services', services),
      tiers: answer('/v1/tiers', tiers),
      routers: answer('/v1/routers', routers),
    },
  };
  const head: Line[] = [
    [
      span(look, `${status.unit || '(no name yet)'} (${status.role})`),
      span(look, status.revision === null ? '' : `, revision ${status.revision}`),
      span(look, `, Weir ${status.version}, up for ${duration(status.uptimeMs)}`),
    ],
    ...problemLines(model, status, columns, Infinity),
  ];
  const columnsShown = serviceColumns(model).filter(({ title }) => !title.startsWith('BITS, LAST'));
  return textOf([
    ...head,
    ...(isPaired(status) ? [[], ...pairBlock(model, status, columns, Infinity)] : []),
    [],
    heading(look, 'Services', columns),
    ...(services.length === 0
      ? [[span(look, "None: add one to the document and 'weir apply' it.")]]
      : whole(model, byHealth(services), columnsShown, columns)),
    [],
    heading(look, 'Tiers', columns),
    ...carried(model, services),
    [],
    heading(look, 'Newest events', columns),
    ...eventsShown(look, events),
  ]);
};

function eventsShown(look: Look, events: readonly EventRow[]): Line[] {
  const rows = [...events].reverse();
  return rows.length === 0
    ? [[span(look, 'None since the daemon started.')]]
    : rows.map((row) => eventLine(look, row));
}
