/**
 * What happened, the newest last; follows unless somebody went back.
 */
import type { EventRow } from '../../appliance/api/contract.js';
import { isAtLeast } from '../../appliance/config/severities.js';
import { clock } from '../../appliance/cli/format.js';
import { fit, span, type Line } from '../frame.js';
import type { Model } from '../model.js';
import { eventLine, isFlowKind, severityMark, severityStyle } from './overview.js';

/** From here on there is room for kind and severity in words before the message. */
const WIDE = 110;

/** Those that the screen's filters let through, the oldest first. */
export function shownEvents({
  events,
  eventsState,
}: Pick<Model, 'events' | 'eventsState'>): EventRow[] {
  const { flows, severity, filter } = eventsState;
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return (events ?? []).filter((row) => {
    if (!flows && isFlowKind(row.kind)) return false;
    if (!isAtLeast(row.severity, severity)) return false;
    if (words.length === 0) return true;
    const text = `${row.kind} ${row.severity} ${row.message}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export function eventScreen(model: Model, width: number, height: number): Line[] {
  const { look, eventsState } = model;
  const rows = shownEvents(model);
  const room = height - 1;
  const back = Math.max(0, Math.min(eventsState.back, rows.length - room));
  const until = rows.length - back;
  const from = Math.max(0, until - room);
  const filters = [
    eventsState.severity === 'info' ? '' : `${eventsState.severity} and worse`,
    eventsState.flows ? 'with single flows' : '',
    eventsState.filter === '' ? '' : `'${eventsState.filter}'`,
  ].filter(Boolean);
  const which = filters.length === 0 ? 'all kinds but single flows' : filters.join(', ');
  const where = back === 0 ? 'follows' : `${back} newer below; G follows again`;
  if (model.events === null) return [[span(look, `Looking for events (${which}) …`, 'dim')]];
  const head: Line = [span(look, `${rows.length} events (${which}), ${where}`, 'dim')];
  if (rows.length === 0) return [head, [span(look, 'No such events so far.')]];
  const kind = Math.max(8, ...rows.slice(from, until).map((row) => row.kind.length));
  const lines = rows.slice(from, until).map((row): Line => {
    if (width < WIDE) return fit(look, eventLine(look, row), width);
    return fit(
      look,
      [
        span(look, `${clock(row.time)} `, 'dim'),
        span(
          look,
          `${severityMark(look, row.severity)} ${row.severity.padEnd(7)} `,
          severityStyle(row.severity),
        ),
        span(look, `${row.kind.padEnd(kind)} `, 'bold'),
        span(look, row.message),
      ],
      width,
    );
  });
  return [head, ...lines];
}
